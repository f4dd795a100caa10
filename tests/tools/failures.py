#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What failed in a suite's output, so that it can stand at the end of a long log, where a reader looks first.

    tests/tools/failures.py LOG        at most LINES lines on stdout; where nothing is recognised, the last lines of the log
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

LINES = 60
# Lines of an excerpt: of pytest those before the short summary, of a failed task those of its message.
TEST_LINES = 40
TASK_LINES = 20
LONGEST_LINE = 400

_TASK = re.compile(r"^(fatal: |failed: )")
_TASK_END = re.compile(r"^(TASK|PLAY|RUNNING HANDLER|ok: |changed: |skipping: |included: )")
_TESTS = re.compile(r"^=+ (FAILURES|ERRORS) =+$")
_SUMMARY = re.compile(r"^=+ short test summary info =+$")
_OTHER = re.compile(r"^(ERROR|CRITICAL|error:|Error:|FAILED )|^-- .*: FAILED after ")


def excerpts(lines: Sequence[str]) -> list[str]:
    """The lines of a log that say what failed, in the log's order."""
    tests = next((number for number, line in enumerate(lines) if _TESTS.match(line)), None)
    if tests is not None:
        summary = next((number for number, line in enumerate(lines) if number > tests and _SUMMARY.match(line)), len(lines))
        # The end of a failure has the assertion; with several failures, the summary names all of them.
        return [*lines[max(tests, summary - TEST_LINES):summary], *lines[summary:summary + LINES - TEST_LINES]]
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


def main() -> None:
    """Print the excerpt of the log that the argument names."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace").splitlines()
    for line in excerpts(lines):
        print(line[:LONGEST_LINE])


if __name__ == "__main__":
    main()
