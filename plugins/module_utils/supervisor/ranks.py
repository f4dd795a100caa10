# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's ranks among the processes of a unit. Nothing else notices a killed rank for minutes: Ray continues without it, and vLLM waits for an
answer that never comes. A stopped one (SIGSTOP) is never noticed: C(/health) still returns 200."""

from __future__ import annotations

import re
import time
import typing as t

from . import processes

# Process titles of vLLM, and of Ray's actors that are vLLM's workers.
_RANK = re.compile(r"VLLM::|ray::RayWorker")
# Seconds after which a stopped process counts as hanging: a debugger stops processes for a moment.
STOPPED_SECONDS = 5.0

# A process by its PID and its start time in clock ticks since boot: the kernel reuses PIDs.
Rank = t.Tuple[int, str]


def find() -> dict[Rank, str]:
    """Return the ranks among the descendants of this process, with their titles."""
    titles = {(pid, fields[processes.STARTED]): processes.title(pid) for pid, fields in processes.descendants().items()}
    return {rank: title for rank, title in titles.items() if _RANK.match(title)}


class Ranks:
    """The ranks of one generation, which are known once the service serves."""

    def __init__(self) -> None:
        self._ranks: dict[Rank, str] = {}
        # Since when a process has been stopped.
        self._stopped: dict[int, float] = {}

    def find(self) -> None:
        """Remember the ranks that run now."""
        self._ranks = self._ranks or find()

    def pids(self) -> list[int]:
        return [pid for pid, _started in self._ranks]

    def gone(self) -> str:
        """Return the title and PID of a rank that has ended; empty while all of them run."""
        for (pid, started), title in self._ranks.items():
            fields = processes.stat(pid)
            # Z, a zombie: it has ended, and its parent has not read its status.
            if not fields or fields[processes.STARTED] != started or fields[processes.STATE] == "Z":
                return f"{title} (process {pid})"
        return ""

    def stopped(self, program: int) -> str:
        """Return the title and PID of a rank, or of the program itself, that is stopped (SIGSTOP); empty while none is.

        :param program: PID of the program, 0 when it does not run
        """
        for pid, title in [*((pid, title) for (pid, _started), title in self._ranks.items()), (program, "the program")]:
            fields = processes.stat(pid) if pid else []
            if not fields or fields[processes.STATE] != "T":
                self._stopped.pop(pid, None)
            elif time.monotonic() - self._stopped.setdefault(pid, time.monotonic()) >= STOPPED_SECONDS:
                return f"{title} (process {pid})"
        return ""
