# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each name of the collection that a role, a playbook or a scenario uses is one of its modules, filters, lookups, roles or playbooks."""

from __future__ import annotations

import re

from pathlib import Path

from role_specs import ROOT

FOLDERS = ("roles", "playbooks", "inventories", "lab", "molecule", "tests/lab", "plugins/filter", "plugins/modules", "docs")
FILES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in {".yml", ".j2", ".md", ".py"} and not path.is_symlink()
)
# Fragments of the documentation, and what is below another name.
_NAME = re.compile(r"\binferops\.gpu\.([a-z_]+)(?!\.)\b")
_PLUGINS = ("action", "callback", "doc_fragments", "filter", "lookup", "modules")


def names() -> set[str]:
    """What C(inferops.gpu.) may stand before."""
    plugins = {path.stem for kind in _PLUGINS for path in (ROOT / "plugins" / kind).glob("*") if path.suffix in {".py", ".yml"}}
    return plugins | {path.name for path in (ROOT / "roles").iterdir()} | {path.stem for path in (ROOT / "playbooks").glob("*.yml")}


def test_all_names_are_there() -> None:
    known = names()
    unknown = {str(path.relative_to(ROOT)): sorted(set(_NAME.findall(path.read_text(encoding="utf-8"))) - known) for path in FILES}
    assert {path: found for path, found in unknown.items() if found} == {}


def test_filters_are_there() -> None:
    """A filter is a file with its documentation beside the code that many have in common; one without is none for Ansible."""
    used = {name for path in FILES if path.suffix in {".yml", ".j2"} for name in re.findall(r"\|\s*inferops\.gpu\.([a-z_]+)", path.read_text(encoding="utf-8"))}
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "plugins" / "filter").glob("*.py"))
    assert sorted(name for name in used if f'"{name}": ' not in code) == []
    assert len(used) > 20
