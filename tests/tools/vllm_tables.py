#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes readings of vLLM (tests/tools/vllm_types.py, vllm_registry.py) into the plan's tables, roles/plan/files/vllm_types.json and vllm_flags.json.

    python tests/tools/vllm_tables.py READING...

A reading replaces the tables' values for its version, in the sections that it has. The values for other versions do not change.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FILES = Path(__file__).resolve().parents[2] / "roles" / "plan" / "files"
# The sections of the table of flags, with their names in a reading.
SECTIONS = {
    "flags": "options", "tool_call_parsers": "tool_call_parsers", "reasoning_parsers": "reasoning_parsers", "environment": "environment", "models": "models"
}


def order(version: str) -> tuple[int, ...]:
    """Versions in their order."""
    return tuple(int(part) for part in version.split("."))


def with_types(table: dict[str, Any], reading: dict[str, Any]) -> dict[str, Any]:
    """The table of types with a reading in it."""
    if "flags" not in reading:
        return table
    versions = {**table["versions"], reading["version"]: reading["flags"]}
    return {**table, "versions": {version: versions[version] for version in sorted(versions, key=order)}}


def with_flags(table: dict[str, Any], reading: dict[str, Any]) -> dict[str, Any]:
    """The table of flags with a reading in it."""
    mine = reading["version"]
    versions = sorted({*table["versions"], mine}, key=order)
    made: dict[str, Any] = {**table, "versions": versions}
    for section, key in SECTIONS.items():
        # What a reading does not have stays as it is; versions that are new are missing in it until another reading has them.
        replaced = {mine} if key in reading else set()
        having = {name: versions_of(span, table["versions"]) - replaced for name, span in table.get(section, {}).items()}
        for name in reading.get(key, ()):
            having.setdefault(name, set()).add(mine)
        made[section] = {name: range_of(having[name], versions) for name in sorted(having) if having[name]}
    return made


def versions_of(span: list[Any], versions: list[str]) -> set[str]:
    """The versions in a range [first, last, [missing]]."""
    first, last, *missing = span
    inside = versions[versions.index(first) : versions.index(last) + 1]
    return set(inside) - {version for versions_missing in missing for version in versions_missing}


def range_of(having: set[str], versions: list[str]) -> list[Any]:
    """The range [first, last, [missing]] of the versions that have a name. The reverse of C(versions_of)."""
    first, last = (pick(having, key=order) for pick in (min, max))
    missing = [version for version in versions[versions.index(first) : versions.index(last)] if version not in having]
    return [first, last, missing] if missing else [first, last]


def types_text(table: dict[str, Any]) -> str:
    """The table of types, one flag per line."""
    parts = []
    for version, flags in table["versions"].items():
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(flags[name])}" for name in sorted(flags))
        parts.append(f"{json.dumps(version)}: {{\n{lines}\n}}")
    return f'{{\n"about": {json.dumps(table["about"])},\n"versions": {{\n{",".join(parts)}\n}}\n}}\n'.replace("},\"", "},\n\"")


def flags_text(table: dict[str, Any]) -> str:
    """The table of flags, one name per line."""
    versions = ",\n".join(json.dumps(version) for version in table["versions"])
    parts = [f'"about": {json.dumps(table["about"])}', f'"versions": [\n{versions}\n]']
    for section in SECTIONS:
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(span)}" for name, span in table.get(section, {}).items())
        parts.append(f"{json.dumps(section)}: {{\n{lines}\n}}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(paths: list[str]) -> int:
    """Write both files."""
    types, flags = (json.loads((FILES / name).read_text(encoding="utf-8")) for name in ("vllm_types.json", "vllm_flags.json"))
    for path in paths:
        reading = json.loads(Path(path).read_text(encoding="utf-8"))
        types, flags = with_types(types, reading), with_flags(flags, reading)
    (FILES / "vllm_types.json").write_text(types_text(types), encoding="utf-8")
    (FILES / "vllm_flags.json").write_text(flags_text(flags), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
