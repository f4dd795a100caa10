#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What failed in a suite's output, so that it can stand at the end of a long log, where a reader looks first.

    tests/tools/failures.py LOG        the end of each failure on stdout; where nothing is recognised, the last lines of the log
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

LINES = 60
# Lines of an excerpt: of a failed test those before its end, of a failed task those of its message; and failed tests that are shown.
TEST_LINES = 15
TASK_LINES = 20
TESTS = 8
LONGEST_LINE = 400

_TASK = re.compile(r"^(fatal: |failed: )")
_TASK_END = re.compile(r"^(TASK|PLAY|RUNNING HANDLER|ok: |changed: |skipping: |included: )")
_TESTS = re.compile(r"^=+ (FAILURES|ERRORS) =+$")
_TEST = re.compile(r"^_{3,} \S.* _{3,}$")
_SECTION = re.compile(r"^[=-]{3,} .* [=-]{3,}$")
_SUMMARY = re.compile(r"^=+ short test summary info =+$")
_COUNTS = re.compile(r"^(=+ )?\d+ \w+.* in [\d.]+s")
_OTHER = re.compile(r"^(ERROR|CRITICAL|error:|Error:|FAILED )|^-- .*: FAILED after ")


def excerpts(lines: Sequence[str]) -> list[str]:
    """The lines of a log that say what failed, in the log's order."""
    starts = [number for number, line in enumerate(lines) if _TESTS.match(line)]
    if starts:
        summary = next((number for number, line in enumerate(lines) if number > starts[-1] and _SUMMARY.match(line)), len(lines))
        found = [line for part in _tests(lines[starts[0] + 1:summary])[:TESTS] for line in part]
        end = next((number for number in range(summary, len(lines)) if _COUNTS.match(lines[number])), len(lines))
        # The names of all of them, and how many there are.
        return [*found, *lines[summary:end + 1][:LINES]]
    tasks: list[str] = []
    for number, line in enumerate(lines):
        if _TASK.match(line):
            tasks.append(line)
            for after in lines[number + 1:number + TASK_LINES]:
                if not after.strip() or _TASK_END.match(after) or _TASK.match(after):
                    break
                tasks.append(after)
    # The last ones: tasks of a rescued block come before the one that ended the run.
    return tasks[-LINES:] or [line for line in lines if _OTHER.match(line)][-LINES:] or list(lines[-TASK_LINES:])


def _tests(lines: Sequence[str]) -> list[list[str]]:
    """The end of each failed test, which has the assertion, after its name. Captured output and other sections after it are left out."""
    parts: list[list[str]] = []
    is_open = False
    for line in lines:
        if _TEST.match(line):
            parts.append([line])
            is_open = True
        elif _SECTION.match(line):
            is_open = False
        elif is_open:
            parts[-1].append(line)
    return [[part[0], *part[1:][-TEST_LINES:]] for part in parts]


def main() -> None:
    """Print the excerpt of the log that the argument names."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace").splitlines()
    for line in excerpts(lines):
        print(line[:LONGEST_LINE])


if __name__ == "__main__":
    main()
