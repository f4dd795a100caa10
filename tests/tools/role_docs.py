#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes each role's variable table into its README from meta/argument_specs.yml.

    python tests/tools/role_docs.py            rewrite the tables
    python tests/tools/role_docs.py --check    change nothing, print what differs, exit 1 if anything does
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from pathlib import Path
from typing import Any

from role_specs import ROLES, ROOT, options, role_names, spec

BEGIN = "<!-- role variables: begin (written by `make docs` from meta/argument_specs.yml) -->"
END = "<!-- role variables: end -->"


def text(value: Any) -> str:
    """A description (a string or a list of paragraphs) on one line of Markdown, with Ansible's markup as code."""
    joined = " ".join(value) if isinstance(value, list) else str(value or "")
    marked = re.sub(r"\bP\(([^()#]*)(?:#\w+)?\)", r"`\1`", joined)
    marked = re.sub(r"\b[OVCEM]\(([^()]*)\)", r"`\1`", marked)
    marked = re.sub(r"\bU\(([^()]*)\)", r"<\1>", marked)
    marked = re.sub(r"\b[BI]\(([^()]*)\)", r"*\1*", marked)
    return " ".join(marked.split()).replace("|", "\\|")


def type_of(option: dict[str, Any]) -> str:
    """The type of an option in words, for example C(list of str)."""
    kind = option.get("type", "str")
    return f"{kind} of {option['elements']}" if kind == "list" and "elements" in option else kind


def default_of(option: dict[str, Any]) -> str:
    """The default of an option as code, V(required) for one that must be given."""
    if option.get("required"):
        return "*required*"
    if "default" not in option:
        return ""
    value = option["default"]
    shown = value if isinstance(value, str) and value else json.dumps(value)
    return f"`{shown}`".replace("|", "\\|")


def rows(entries: dict[str, dict[str, Any]], prefix: str = "") -> list[str]:
    """Table rows of options, each followed by its suboptions."""
    lines: list[str] = []
    for name, option in entries.items():
        meaning = text(option.get("description"))
        if option.get("choices"):
            meaning += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        lines.append(f"| `{prefix}{name}` | {type_of(option)} | {default_of(option)} | {meaning} |")
        if option.get("options"):
            mark = "[]." if option.get("type") == "list" else "."
            lines += rows(option["options"], f"{prefix}{name}{mark}")
    return lines


def table(role: str) -> str:
    """The variable table of a role, markers included."""
    entries = options(role)
    if not entries:
        return f"{BEGIN}\nThe role has no variables.\n{END}"
    head = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([BEGIN, *head, *rows(entries), END])


def readme(role: str) -> str:
    """The README of a role with an up-to-date table between the markers."""
    path = ROLES / role / "README.md"
    if not path.exists():
        entry = spec(role)
        said = "\n\n".join(text(part) for part in _listed(entry.get("description") or entry.get("short_description")))
        return f"# Role `inferops.gpu.{role}`\n\n{said}\n\n## Variables\n\n{table(role)}\n"
    current = path.read_text(encoding="utf-8")
    pattern = re.compile(r"<!-- role variables: begin.*?<!-- role variables: end -->", re.DOTALL)
    if not pattern.search(current):
        return current.rstrip() + f"\n\n## Variables\n\n{table(role)}\n"
    return pattern.sub(lambda _match: table(role), current, count=1)


def differences() -> dict[Path, str]:
    """READMEs that are out of date, each with its up-to-date text."""
    found: dict[Path, str] = {}
    for role in role_names():
        path = ROLES / role / "README.md"
        wanted = readme(role)
        if not path.exists() or path.read_text(encoding="utf-8") != wanted:
            found[path] = wanted
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def main(arguments: list[str]) -> int:
    """Exit status of the command: 0, or 1 when C(--check) found a difference."""
    found = differences()
    for path, wanted in found.items():
        shown = path.relative_to(ROOT)
        if "--check" in arguments:
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            sys.stdout.writelines(
                difflib.unified_diff(before.splitlines(True), wanted.splitlines(True), str(shown), "as make docs writes it")
            )
        else:
            path.write_text(wanted, encoding="utf-8")
            print(f"wrote {shown}")
    return 1 if found and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
