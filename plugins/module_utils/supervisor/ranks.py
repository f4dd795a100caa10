# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's ranks among the processes of a unit. Nothing else notices a killed rank for minutes: Ray continues without it, and vLLM waits for an
answer that never comes."""

from __future__ import annotations

import os
import re
import typing as t

# Process titles of vLLM, and of Ray's actors that are vLLM's workers.
_RANK = re.compile(rb"VLLM::|ray::RayWorker")

# A process by its PID and its start time in clock ticks since boot: the kernel reuses PIDs.
Rank = t.Tuple[int, str]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name (see proc(5)): state, parent, …; empty when the process does not exist."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def _title(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")[0]
    except OSError:
        return b""


def find() -> dict[Rank, str]:
    """Return the ranks among the descendants of this process, with their titles."""
    stats = {int(name): _stat(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    parents = {pid: int(fields[1]) for pid, fields in stats.items() if fields}

    def is_mine(pid: int) -> bool:
        while pid in parents and pid > 1:
            if parents[pid] == os.getpid():
                return True
            pid = parents[pid]
        return False

    titles = {pid: _title(pid) for pid in parents}
    return {(pid, stats[pid][19]): title.decode(errors="replace") for pid, title in titles.items() if _RANK.match(title) and is_mine(pid)}


def gone(ranks: t.Mapping[Rank, str]) -> str:
    """Return the title and PID of a rank that has ended; empty while all of them run."""
    for (pid, started), title in ranks.items():
        fields = _stat(pid)
        # Z, a zombie: it has ended, and its parent has not read its status.
        if not fields or fields[19] != started or fields[0] == "Z":
            return f"{title} (process {pid})"
    return ""
