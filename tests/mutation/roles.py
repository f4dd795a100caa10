#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Applies role mutations (tests/mutation/roles.yml), each to a copy of the checkout, and runs the test that has to turn red: tests/run-mutation.sh roles

    NAME=kernel-sysctl     one of them
    ROLE=kernel            those of a role
    UNIT=1                 those that unit tests see; no lab is needed
    without any            their list

A scenario runs in the lab of LAB_NAME and LAB_NETWORK, as tests/run-molecule.sh has it, and ends with its first failed test. What failed is printed, for
a reader to judge whether it is what the line is for. The exit status is 1 if a mutation stays green, or something failed that is neither task nor test.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import copies
import yaml

ROOT = Path(__file__).resolve().parents[2]


def read() -> list[dict[str, Any]]:
    """The mutations, as they are written."""
    return list(yaml.safe_load((ROOT / "tests" / "mutation" / "roles.yml").read_text(encoding="utf-8"))["mutations"])


def apply(mutation: dict[str, Any], root: Path) -> None:
    """Changes the file under O(root).

    :raises ValueError: the text does not occur exactly once, or nothing would change
    """
    path = root / mutation["file"]
    text = path.read_text(encoding="utf-8")
    if text.count(mutation["find"]) != 1:
        raise ValueError(f"{mutation['name']}: {mutation['file']} has the text {text.count(mutation['find'])} times")
    changed = text.replace(mutation["find"], mutation.get("with", ""))
    if changed == text:
        raise ValueError(f"{mutation['name']} changes nothing")
    path.write_text(changed, encoding="utf-8")


def command(mutation: dict[str, Any]) -> list[str]:
    """What has to fail."""
    kind, _space, name = mutation["red"].partition(" ")
    return ["tests/run-molecule.sh", name] if kind == "molecule" else [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", mutation["red"]]


def reason(log: str) -> str:
    """The first test or task that failed, from what a scenario or pytest printed. Empty without any, or while the machines are made or removed: then the
    lab itself did not work."""
    found = re.search(r"^(?:FAILED|ERROR) (\S+::\S+)|^(?:CRITICAL|ERROR) +(.*[Ii]dempotence.*)|^\[ERROR\]: (.+)|^fatal: \[\S+\]: (.+)", log, re.MULTILINE)
    if found is None:
        return ""
    steps = re.findall(r"^INFO +\[\S+ > (\w+)\] Executing", log[: found.start()], re.MULTILINE)
    return "" if steps and steps[-1] in ("create", "destroy") else next(filter(None, found.groups()))[:160]


def wanted(mutation: dict[str, Any]) -> bool:
    """Whether NAME, ROLE or UNIT asks for it."""
    name, role, unit = (os.environ.get(key, "") for key in ("NAME", "ROLE", "UNIT"))
    return bool(name or role or unit) and name in ("", mutation["name"]) and role in ("", mutation["role"]) and not (unit and " " in mutation["red"])


def main() -> int:
    mutations = read()
    chosen = [mutation for mutation in mutations if wanted(mutation)]
    if not chosen:
        for mutation in mutations:
            print(f"  {mutation['name']:<28} {mutation['file']:<52} {mutation['red']}")
        return 2 if any(os.environ.get(key) for key in ("NAME", "ROLE", "UNIT")) else 0
    green: list[str] = []
    for mutation in chosen:
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            root = copies.copy(Path(folder) / "copy")
            apply(mutation, root)
            began = time.monotonic()
            log = ROOT / ".cache" / f"mutation-{mutation['name']}.log"
            environment = {**os.environ, "ANSIBLE_CONFIG": str(root / "ansible.cfg"), "PYTEST_ADDOPTS": "-x"}
            with log.open("w", encoding="utf-8") as output:
                done = subprocess.run(
                    command(mutation), cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
                )
        what = reason(log.read_text(encoding="utf-8", errors="replace")) if done.returncode else ""
        outcome = "red" if what else "BROKEN" if done.returncode else "GREEN"
        print(f"{outcome}: {mutation['name']}: {mutation['red']}, {time.monotonic() - began:.0f} s: {what or log.relative_to(ROOT)}", flush=True)
        if not what:
            green.append(mutation["name"])
    print(f"{len(chosen) - len(green)} of {len(chosen)} turned red" + (f"; not: {', '.join(green)}" if green else ""))
    return 1 if green else 0


if __name__ == "__main__":
    sys.exit(main())
