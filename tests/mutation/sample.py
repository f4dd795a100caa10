#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tries a random sample of mutants for some minutes, and prints those that no test saw: tests/run-mutation.sh

    MINUTES=10        how long; no mutant is begun after that
    SEED=1            the order of the mutants; the same seed tries the same ones, as far as it gets
    WORKERS=2         mutants at a time, each in its own copy of the checkout
    SECONDS_EACH=120  in a process of its own, a mutant whose tests take longer counts as seen: it hangs
    FILES=...         files or folders instead of the plan's checks and the supervisor

A mutant is tried in a fork of a process that has imported the unit tests, with those that call what it changes (forked.py); then, if it is of a program that hosts run, with the mutated file in a copy of the checkout, where tests start it. Generated
tests (`make fuzz`) are left out, but for those of the supervisor as `make unit` has them; plays are left out. Results are in
.cache/mutation-results.json too.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import copies
import mutants

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "tools"))

from affected import Sources  # noqa: E402

SUPERVISOR = "plugins/module_utils/supervisor"
SIMULATION = "tests/unit/plugins/module_utils/supervisor/test_simulation.py"
TARGETS = ("plugins/plugin_utils/plan/checks", SUPERVISOR)
RESULTS = ROOT / ".cache" / "mutation-results.json"
# Start ansible-playbook: too slow for each mutant, and what they would see of a check its own tests see first.
_PLAYS = ("ansible_runs", "plan_runs")


def files(targets: list[str]) -> list[str]:
    """The Python files of folders and files."""
    found = [path for target in targets for path in ([ROOT / target] if target.endswith(".py") else sorted((ROOT / target).rglob("*.py")))]
    return [str(path.relative_to(ROOT)) for path in found if path.name != "__init__.py"]


def mirrored(file: str) -> str:
    """The folder of the tests beside a file: they mirror paths."""
    return f"tests/unit/{Path(file).parent}/"


def tests_of(file: str, sources: Sources) -> tuple[list[str], list[str]]:
    """The files of tests that can see a mutant of a file: those beside it, and the others that import it."""
    seeing = [test for test in sources.tests if file in sources.needs(test) and not any(f"{name}.py" in " ".join(sources.needs(test)) for name in _PLAYS)]
    beside = mirrored(file)
    return [test for test in seeing if test.startswith(beside)], [test for test in seeing if not test.startswith(beside)]


def fails(tests: list[str], root: Path, limit: float, marks: str = "not fuzz") -> str:
    """How the tests see the mutant in a copy of the checkout: V(test), V(time), or empty when they do not."""
    if not tests:
        return ""
    # The bytecode of a former mutant must not be taken for this one's: file times count in seconds.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(root / "none"), "ANSIBLE_CONFIG": str(root / "ansible.cfg")}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", marks, *tests]
    try:
        done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return "time"
    return "test" if done.returncode else ""


class Session:
    """A process that has collected tests, and tries mutants in forks (forked.py)."""

    def __init__(self, tests: list[str]) -> None:
        ours, theirs = os.pipe(), os.pipe()
        environment = {
            **os.environ, "MUTANTS": str(ours[0]), "ANSWERS": str(theirs[1]),
            "PYTHONPATH": str(ROOT / "tests" / "mutation"), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "forked", "-m", "not fuzz", *tests]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, pass_fds=(ours[0], theirs[1]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(ours[0])
        os.close(theirs[1])
        self.requests, self.answers = os.fdopen(ours[1], "w", buffering=1), os.fdopen(theirs[0])

    def try_(self, file: str, source: str, mutated: str) -> str:
        """How the tests see a mutant: V(test), V(time), empty when they do not, V(import) when only a new import would show it.

        :raises RuntimeError: the session has ended, for example because it could not collect its tests
        """
        # pytest names files from the folder of its settings.
        beside = mirrored(file).removeprefix("tests/")
        self.requests.write(json.dumps({"file": file, "source": source, "mutated": mutated, "beside": beside}) + "\n")
        answer = self.answers.readline()
        if not answer:
            raise RuntimeError(f"the session of the tests ended: status {self.process.wait()}")
        return str(json.loads(answer))

    def end(self) -> None:
        self.requests.close()
        self.answers.close()
        self.process.wait()


class Sample:
    """What was tried so far, by several threads."""

    def __init__(self, waiting: list[mutants.Mutant], until: float, limit: float) -> None:
        self.waiting, self.until, self.limit = waiting, until, limit
        self.sources = Sources(ROOT, library=False)
        self.every = sorted({test for file in {mutant.file for mutant in waiting} for tests in tests_of(file, self.sources) for test in tests})
        self.tried: list[dict[str, Any]] = []
        # Files of tests that pass without a mutant.
        self.sound: set[str] = set()
        self.lock = threading.Lock()

    def fails(self, file: str, made: str, root: Path, tests: list[str], marks: str) -> str:
        """How tests see a mutant in a copy of the checkout.

        :raises RuntimeError: they fail without it as well
        """
        if str(tests) not in self.sound:
            if fails(tests, root, 600, marks):
                raise RuntimeError(f"without a mutant these fail as well: {' '.join(tests)}")
            self.sound.add(str(tests))
        source = (root / file).read_text(encoding="utf-8")
        (root / file).write_text(made, encoding="utf-8")
        try:
            return fails(tests, root, self.limit, marks)
        finally:
            (root / file).write_text(source, encoding="utf-8")

    def work(self, root: Path) -> None:
        """Tries mutants until the time is over; O(root) is a copy of the checkout."""
        session: Session | None = None
        while time.monotonic() < self.until:
            with self.lock:
                if not self.waiting:
                    break
                mutant = self.waiting.pop()
                near, far = tests_of(mutant.file, self.sources)
            source = (ROOT / mutant.file).read_text(encoding="utf-8")
            try:
                made = mutants.mutated(mutant, source)
            except ValueError:
                # No mutant at all.
                continue
            session = session or Session(self.every)
            seen = session.try_(mutant.file, source, made)
            # Programs of the host library run as processes too, from their files.
            if seen == "import" or (not seen and mutant.file.startswith("plugins/module_utils/")):
                runs = [(near, "not fuzz"), (far, "not fuzz"), *([([SIMULATION], "fuzz")] if mutant.file.startswith(SUPERVISOR) else [])]
                for tests, marks in runs:
                    seen = self.fails(mutant.file, made, root, tests, marks)
                    if seen:
                        break
            with self.lock:
                what = mutants.difference(source, made)
                self.tried.append({**asdict(mutant), "seen": seen, "difference": what})
                print(f"{seen or 'SURVIVED':<8} {mutant.file}:{mutant.line} {mutant.operator}" + ("" if seen else f"\n{what}"), flush=True)
        if session:
            session.end()


def main() -> int:
    mutants.load()
    targets = os.environ.get("FILES", "").split() or list(TARGETS)
    seed, minutes = int(os.environ.get("SEED", "1")), float(os.environ.get("MINUTES", "10"))
    every = [mutant for file in files(targets) for mutant in mutants.of(file)]
    random.Random(seed).shuffle(every)
    total = len(every)
    sample = Sample(every, time.monotonic() + 60 * minutes, float(os.environ.get("SECONDS_EACH", "120")))
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        roots = [copies.copy(Path(folder) / str(number)) for number in range(int(os.environ.get("WORKERS", "2")))]
        with ThreadPoolExecutor(len(roots)) as pool:
            # An exception in one of them ends the program, with what it says.
            list(pool.map(sample.work, roots))
    RESULTS.write_text(json.dumps({"seed": seed, "minutes": minutes, "mutants": total, "tried": sample.tried}, indent=1), encoding="utf-8")
    print()
    for target in targets:
        counts = Counter(one["seen"] or "survived" for one in sample.tried if one["file"].startswith(target))
        tried = sum(counts.values())
        if tried:
            print(f"{target}: {tried - counts['survived']} of {tried} seen ({counts['time']} by a time limit): {100 * (tried - counts['survived']) // tried} %")
    print(f"seed {seed}, {minutes:g} minutes, {len(sample.tried)} of {total} mutants; results in {RESULTS.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
