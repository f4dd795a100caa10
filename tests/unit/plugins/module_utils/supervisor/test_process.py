# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The output of a supervised program: nothing of its last lines is lost on a busy host, and nothing waits for a process that outlives it."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import process, threads

LINES = [f"line {number}" for number in range(40)]
PRINTS = "print('\\n'.join(f'line {number}' for number in range(40)), flush=True)"


def ended(program: str, seconds: float = 0.0) -> process.Process:
    """A Python program that has ended, whose lines take the reader C(seconds) each."""
    found = process.Process([sys.executable, "-c", program], os.environ)
    found.start(threads.Threads(), lambda line: time.sleep(seconds), lambda status: None)
    assert found.ended.wait(60)
    return found


@pytest.mark.parametrize("seconds", [0.0, 0.03])
def test_all_lines_are_there(seconds: float) -> None:
    """Also if the thread that reads is slow."""
    assert ended(PRINTS, seconds).output() == LINES


def test_a_child_that_survives_holds_nothing_up() -> None:
    """It keeps the pipe open, so that there is no end to read."""
    found = ended(f"import subprocess; child = subprocess.Popen(['sleep', '60']); {PRINTS}; print(child.pid, flush=True)", 0.03)
    began = time.monotonic()
    *lines, pid = found.output()
    seconds = time.monotonic() - began
    os.kill(int(pid), signal.SIGKILL)
    assert lines == LINES and seconds < process.READ_SECONDS
