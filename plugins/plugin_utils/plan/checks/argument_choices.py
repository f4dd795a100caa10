# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the arguments that are names from a set, such as quantization methods and attention backends: each exists in the chosen vLLM."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any, Iterator

from ..errors import PlanError, nearest, shown
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm import arguments as args
from ..vllm.argument_types import FlagType
from ..vllm.features import NAMES_OF_PACKAGES, has_package
from .base import check

# Similarity from 0 to 1 that a name needs to be suggested.
_ALIKE = 0.7

# Members that allow a name that the version does not know: the module that registers the user's own class.
_MODULE_OF = {"kv_transfer_config": "kv_connector_module_path", "ec_transfer_config": "ec_connector_module_path"}


@check()
def fixed_names_exist(host: HostDraft) -> Iterator[PlanError]:
    """A name from a fixed set exists in the version."""
    yield from _unknown_names(host, extendable=False)


@check(accept="plugin-names")
def registered_names_exist(host: HostDraft) -> Iterator[PlanError]:
    """A name from a set that plugins can extend exists in the version, or a plugin in the release registers it."""
    yield from _unknown_names(host, extendable=True)


def _unknown_names(host: HostDraft, extendable: bool) -> Iterator[PlanError]:
    for draft in host.services:
        for key, value in draft.given.items():
            takes = host.tables.types.of(key, draft.version)
            if takes is None:
                continue
            for where, name, names, is_open, folds in _named(draft, key, value, takes):
                if is_open is extendable and not _knows(name, names, folds) and not _brought(draft, where, name):
                    yield _error(host, draft, where, name, names)


def _named(draft: ServiceDraft, key: str, value: Any, takes: FlagType) -> Iterator[tuple[str, str, tuple[str, ...], bool, bool]]:
    """Names in an argument, each with its place, the known names, whether plugins may add names, and whether upper and lower case are equal."""
    head, _dot, member = key.partition(".")
    if takes.names and not member and isinstance(value, str):
        # The import path of a class names the user's own class.
        if not (head == "distributed_executor_backend" and "." in value):
            yield key, value, takes.names, takes.open, head.endswith(("attention_backend", "attn_backend"))
    for part, names in takes.member_names.items():
        found = value if member == part else args.member(draft.given, head, part) if not member else None
        if isinstance(found, str) and args.member(draft.given, head, _MODULE_OF.get(head, "")) is None:
            yield f"{head}.{part}", found, names, True, False


def _brought(draft: ServiceDraft, key: str, name: str) -> bool:
    """Whether a plugin in the release's requirements registers the name."""
    packages = [package for package, brings in NAMES_OF_PACKAGES.items() if name in brings.get(key, ())]
    return any(has_package(draft.release.requirements, package) for package in packages)


def _knows(name: str, names: tuple[str, ...], folds: bool) -> bool:
    return name in names or (folds and name.lower() in {each.lower() for each in names}) or name in ("", "None")


def _near(name: str, names: tuple[str, ...]) -> list[str]:
    """Names that the user may have meant: those with this prefix, else similar ones. Similarity alone would suggest inc for int4."""
    begun = [each for each in names if len(name) > 2 and each.lower().startswith(name.lower())]
    return begun or [each for each in nearest(name, names) if SequenceMatcher(None, each.lower(), name.lower()).ratio() >= _ALIKE]


def _error(host: HostDraft, draft: ServiceDraft, key: str, name: str, names: tuple[str, ...]) -> PlanError:
    near = _near(name, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose among {', '.join(names)}"
    package = next((package for package, brings in NAMES_OF_PACKAGES.items() if name in brings.get(key, ())), "")
    if package:
        hint = f"add {package}==<its version> to vllm_requirements, which registers it; or remove it"
    why = f"vLLM {draft.version.text} has no such name"
    return PlanError(host.name, draft.label, draft.where(key), shown(name, key), why, hint)
