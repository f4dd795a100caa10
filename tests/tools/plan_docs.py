#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the keys of the plan, from plugins/plugin_utils/plan/output/types.py, into the README of the role plan and RETURN of the module plan.

    python tests/tools/plan_docs.py            rewrite both
    python tests/tools/plan_docs.py --check    change nothing, print what differs, exit 1 if anything does
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from role_docs import text

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "plugins" / "plugin_utils" / "plan" / "output" / "types.py"
README = ROOT / "roles" / "plan" / "README.md"
MODULE = ROOT / "plugins" / "modules" / "plan.py"
README_MARKS = ("<!-- plan: begin (written by `make docs` from plugins/plugin_utils/plan/output/types.py) -->", "<!-- plan: end -->")
MODULE_MARKS = ("    # Written by `make docs` from plugins/plugin_utils/plan/output/types.py.", "    # Until here.")
_YAML = {str: "str", int: "int", bool: "bool", float: "float", dict: "dict", list: "list"}


def plan_types() -> types.ModuleType:
    """The module of the plan's types. It imports no other module of the collection."""
    found = importlib.util.spec_from_file_location("plan_types", SOURCE)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    # Dataclasses look up their annotations in sys.modules.
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of the plan: its type as in YAML, and the class of its value if that is a class of the plan."""

    name: str
    kind: str
    elements: str
    holds: type | None
    description: str


def keys(of: type) -> Iterator[Key]:
    """The keys of one of the plan's classes."""
    hints = typing.get_type_hints(of)
    for each in dataclasses.fields(of):
        hint = hints[each.name]
        if typing.get_origin(hint) is typing.Union:
            hint = next(one for one in typing.get_args(hint) if one is not type(None))
        item = typing.get_args(hint)[0] if typing.get_origin(hint) is list else None
        holds = next((one for one in (item, hint) if dataclasses.is_dataclass(one)), None)
        kind = "dict" if dataclasses.is_dataclass(hint) else _YAML[typing.get_origin(hint) or hint]
        elements = "" if item is None else "raw" if item is Any else "dict" if dataclasses.is_dataclass(item) else _YAML[typing.get_origin(item) or item]
        yield Key(each.name, kind, elements, typing.cast("type | None", holds), each.metadata["description"])


def tables(module: types.ModuleType) -> list[str]:
    """A table for the plan and for each class in it, in the order of their first use."""
    lines, queue, seen = [], [module.HostPlan], set()
    while queue:
        of = queue.pop(0)
        if of in seen:
            continue
        seen.add(of)
        title = "`plan_host`" if of is module.HostPlan else _title(of)
        lines += ["", f"#### {title}", "", text(of.__doc__), "", "| key | type | what |", "|---|---|---|"]
        for key in keys(of):
            kind = f"list of {key.elements}" if key.elements else key.kind
            where = f" See [{_title(key.holds)}](#{_title(key.holds).lower().replace(' ', '-')})." if key.holds else ""
            lines.append(f"| `{key.name}` | {kind} | {text(key.description)}{where} |")
            queue += [key.holds] if key.holds else []
    return lines[1:]


def _title(of: Any) -> str:
    """The name of a class as separate words."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in of.__name__).strip().capitalize()


def contains(of: type, indent: int) -> list[str]:
    """The keys of a class in the format of RETURN."""
    space, lines = " " * indent, []
    for key in keys(of):
        lines += [f"{space}{key.name}:", f"{space}  description: {_quoted(key.description)}", f"{space}  type: {key.kind}"]
        lines += [f"{space}  elements: {key.elements}"] if key.elements else []
        if key.holds:
            lines += [f"{space}  contains:", *contains(key.holds, indent + 4)]
    return lines


def _quoted(text_: str) -> str:
    return '"' + text_.replace('"', '\\"') + '"' if ": " in text_ or text_.startswith(("C(", "`")) else text_


def between(path: Path, marks: tuple[str, str], lines: list[str]) -> str:
    """The text of a file with the part between the marks replaced."""
    found = path.read_text(encoding="utf-8")
    begin, rest = found.split(marks[0] + "\n", 1)
    return "\n".join([begin + marks[0], *lines, marks[1]]) + rest.split(marks[1], 1)[1]


def written() -> dict[Path, str]:
    """The up-to-date text of both files."""
    module = plan_types()
    return {README: between(README, README_MARKS, tables(module)), MODULE: between(MODULE, MODULE_MARKS, contains(module.HostPlan, 4))}


def main() -> int:
    differs = False
    for path, wanted in written().items():
        found = path.read_text(encoding="utf-8")
        if found == wanted:
            continue
        differs = True
        if "--check" in sys.argv[1:]:
            sys.stdout.writelines(difflib.unified_diff(found.splitlines(True), wanted.splitlines(True), str(path), "as it must read"))
        else:
            path.write_text(wanted, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return int(differs and "--check" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
