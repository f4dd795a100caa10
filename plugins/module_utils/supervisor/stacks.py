# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is recorded about a program that hangs, before it is ended: the stacks of its threads, and the state of the GPUs.

The stacks come from Python's own C(faulthandler): with C(PYTHONFAULTHANDLER=1) a process that gets SIGABRT prints them, whatever it waits for, and
ends. A debugger such as py-spy would need ptrace(2), which the unit's system call filter denies.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import typing as t

from . import processes

# Seconds that the processes have to print, at most: on a host whose processors are busy that takes more than a moment, and one that waits for a driver
# never does. And that nvidia-smi has: on a GPU that is lost it may never return.
PRINT_SECONDS = 10.0
QUERY_SECONDS = 10.0
LOOK_SECONDS = 0.1
MOST_BYTES = 512 * 1024


def dump(pids: t.Iterable[int], seconds: float = PRINT_SECONDS) -> None:
    """Have Python processes print the stacks of their threads, which ends them; wait until they have."""
    asked = {}
    # 0 is a program that has just ended. A signal to it would go to the supervisor's own process group.
    for pid in filter(None, pids):
        fields = processes.stat(pid)
        try:
            os.kill(pid, signal.SIGABRT)
            # A process that is stopped gets no other signal before this one.
            os.kill(pid, signal.SIGCONT)
        except (ProcessLookupError, PermissionError):
            continue
        asked[pid] = fields
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(processes.is_running(pid, fields) for pid, fields in asked.items()):
        time.sleep(LOOK_SECONDS)


class GpuState:
    """The output of nvidia-smi, queried while something else happens. C(text) is empty on a host without it."""

    def __init__(self) -> None:
        self._query: subprocess.Popen[bytes] | None = None
        program = shutil.which("nvidia-smi")
        if program:
            try:
                # Not a file: the disk may be full. Not a pipe: somebody would have to read it.
                self._output = os.fdopen(os.memfd_create("nvidia-smi"), "w+b")
                self._query = subprocess.Popen(
                    [program, "-q"], env={"PATH": os.environ.get("PATH", "")}, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT,
                )
            except OSError as error:
                print(f"nvidia-smi cannot be started: {error.strerror}", flush=True)
        self._deadline = time.monotonic() + QUERY_SECONDS

    def text(self) -> str:
        """Return the output; wait for it until the query's time is over. A query that does not end is left alone: the kernel may not let it go."""
        if self._query is None:
            return ""
        while self._query.poll() is None and time.monotonic() < self._deadline:
            time.sleep(LOOK_SECONDS)
        late = self._query.poll() is None
        if late:
            self._query.kill()
        self._output.seek(0)
        text = self._output.read(MOST_BYTES).decode(errors="replace")
        return f"{text}\nnvidia-smi did not end within {QUERY_SECONDS:.0f} s\n" if late else text
