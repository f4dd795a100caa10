# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the defaults, argument specs and tasks of the roles in the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "roles"


class _Loader(yaml.SafeLoader):
    """A safe loader that takes Ansible's own tags (C(!unsafe), C(!vault)) for the plain value."""


def _plain(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _plain)


def load(path: Path) -> Any:
    """The YAML document in O(path); an absent or empty file reads as V(None)."""
    if not path.exists():
        return None
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader


def role_names() -> list[str]:
    """The roles of the checkout, sorted. A folder with generated files only is not a role."""
    return sorted(path.name for path in ROLES.iterdir() if any((path / part).is_dir() for part in ("tasks", "defaults", "meta")))


def defaults(role: str) -> dict[str, Any]:
    """Defaults of a role, by variable name."""
    return load(ROLES / role / "defaults" / "main.yml") or {}


def spec(role: str) -> dict[str, Any]:
    """The C(main) entry point of a role's argument specs.

    Raises:
        KeyError: the role has no C(meta/argument_specs.yml), or none for C(main).
    """
    document = load(ROLES / role / "meta" / "argument_specs.yml")
    if not document:
        raise KeyError(f"roles/{role}/meta/argument_specs.yml is missing")
    return document["argument_specs"]["main"]


def options(role: str) -> dict[str, dict[str, Any]]:
    """The options of a role's C(main) entry point, by variable name."""
    return spec(role).get("options") or {}


def task_files(role: str) -> list[Path]:
    """Every tasks and handlers file of a role."""
    return sorted(path for part in ("tasks", "handlers") for path in (ROLES / role / part).rglob("*.yml"))


def tasks(path: Path) -> list[dict[str, Any]]:
    """All tasks in a file, those inside blocks included."""
    found: list[dict[str, Any]] = []

    def walk(entries: list[dict[str, Any]] | None) -> None:
        for entry in entries or []:
            found.append(entry)
            for part in ("block", "rescue", "always"):
                walk(entry.get(part))

    walk(load(path))
    return found
