#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The suites of tests/run-all.sh that the changed files can break, by the table in tests/suites.yml.

    tests/tools/suites.py              a line for each suite on stdout; on stderr why each of them was chosen
"""

from __future__ import annotations

import fnmatch
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from changed import changes

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests" / "suites.yml"
SCRIPTS = ("sanity", "unit", "awx", "lint")
# Reasons of a suite that are printed.
_SHOWN = 3


def scenarios(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """Contents of molecule.yml by scenario."""
    return {path.parent.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(root.glob("molecule/*/molecule.yml"))}


def folders(name: str, scenario: Mapping[str, Any]) -> tuple[str, ...]:
    """What belongs to a scenario: its own folder, the role of its name, those that it verifies, the playbooks of other scenarios that it plays."""
    steps = [str(step) for step in scenario.get("scenario", {}).get("test_sequence", [])]
    used = [step.split(maxsplit=1)[1] for step in steps if step.startswith("verify ")]
    used += [str(path) for path in scenario.get("ansible", {}).get("playbooks", {}).values() if str(path).startswith("../")]
    found = [os.path.normpath(os.path.join("molecule", name, path)) for path in used]
    return (f"molecule/{name}", f"roles/{name}", *(path for path in found if path.startswith(("molecule/", "tests/lab/"))))


def matches(path: str, pattern: str) -> bool:
    """Whether a path is in the folder that a pattern names, or fits it part by part."""
    if pattern.endswith("/"):
        return path.startswith(pattern)
    return path.count("/") == pattern.count("/") and all(map(fnmatch.fnmatchcase, path.split("/"), pattern.split("/")))


def expand(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Suites by the names in the table: V(all), V(molecule) for every scenario, or a suite."""
    found: list[str] = []
    for name in names:
        if name in ("all", "molecule"):
            found += [f"molecule {scenario}" for scenario in known]
        if name == "all":
            found += SCRIPTS
        elif name != "molecule":
            found.append(name)
    return found


def reasons(paths: Iterable[str], rows: Iterable[Mapping[str, Any]], known: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """By suite, why: each path that chose it, with what the row says. A path without a row chooses every suite."""
    found: dict[str, list[str]] = {}
    rows = list(rows)
    owned = {name: folders(name, scenario) for name, scenario in known.items()}
    for path in paths:
        chosen: dict[str, str] = {}
        for row in rows:
            if any(matches(path, pattern) for pattern in row["paths"]):
                for suite in expand(row["suites"], known):
                    chosen.setdefault(suite, row["what"])
        for name, places in owned.items():
            if any(path == place or path.startswith(f"{place}/") for place in places):
                chosen.setdefault(f"molecule {name}", "a file of this scenario")
        for suite, what in (chosen or dict.fromkeys(expand(["all"], known), "no row of tests/suites.yml matches")).items():
            found.setdefault(suite, []).append(f"{path} ({what})")
    return found


def main() -> int:
    made = changes(ROOT)
    found = reasons(made.paths, yaml.safe_load(TABLE.read_text(encoding="utf-8"))["rows"], scenarios())
    print(f"{len(made.paths)} files differ from {made.base[:12]}", file=sys.stderr)
    for suite in expand(["all"], scenarios()):
        why = found.get(suite)
        if why:
            more = f" and {len(why) - _SHOWN} more" if len(why) > _SHOWN else ""
            print(f"  {suite}: {', '.join(why[:_SHOWN])}{more}", file=sys.stderr)
            print(suite)
        else:
            print(f"  not {suite}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
