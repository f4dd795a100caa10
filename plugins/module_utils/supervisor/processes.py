# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes as /proc has them: those under this one, their state and their titles."""

from __future__ import annotations

import os

# Indexes of fields of /proc/PID/stat after the name (see proc(5)).
STATE, PARENT, USER_TIME, SYSTEM_TIME, STARTED = 0, 1, 11, 12, 19


def stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, …; empty when the process does not exist."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def title(pid: int) -> str:
    """Return the first word of a process's command line, which programs may change; empty when it has none."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")[0].decode(errors="replace")
    except OSError:
        return ""


def descendants() -> dict[int, list[str]]:
    """Return the processes under this one, by PID with their fields of /proc/PID/stat."""
    stats = {int(name): stat(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    parents = {pid: int(fields[PARENT]) for pid, fields in stats.items() if fields}

    def is_mine(pid: int) -> bool:
        while pid in parents and pid > 1:
            if parents[pid] == os.getpid():
                return True
            pid = parents[pid]
        return False

    return {pid: stats[pid] for pid in parents if is_mine(pid)}


def cpu_seconds() -> float:
    """Return the CPU time that the processes under this one have used."""
    ticks = sum(int(fields[USER_TIME]) + int(fields[SYSTEM_TIME]) for fields in descendants().values())
    return ticks / os.sysconf("SC_CLK_TCK")


def is_running(pid: int, fields: list[str]) -> bool:
    """Whether a process still runs, by its fields of /proc/PID/stat from before: the kernel reuses PIDs."""
    now = stat(pid)
    return bool(now and fields) and now[STARTED] == fields[STARTED] and now[STATE] != "Z"
