# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of services that the kernel killed since boot because memory ran out."""

from __future__ import annotations

import re
import typing as t

from .commands import Unread, output
from .context import Context
from .finding import Result, Unknown, error

# "oom-kill:constraint=CONSTRAINT_NONE,…,task_memcg=/system.slice/vllm-x.service,task=VLLM::EngineCor,pid=42,uid=998" (mm/oom_kill.c).
_KILL = re.compile(r"oom-kill:constraint=(\w+).*?task_memcg=(\S*?),task=(.*?),pid=(\d+)")
_LINES = "20000"


def check(context: Context) -> Result:
    """Kills in the kernel's messages, from the journal, else from the ring buffer, which older messages leave."""
    try:
        text = output("journalctl", "--dmesg", "--boot", "--quiet", "--no-pager", "--output=short-iso", f"--lines={_LINES}")
    except Unread as first:
        try:
            text = output("dmesg", "--time-format=iso")
        except Unread as second:
            yield Unknown("the kernel's messages", f"{first}; {second}")
            return
    yield from judge(text, {unit.name: unit.service for unit in context.units})


def judge(text: str, services: t.Mapping[str, str]) -> Result:
    """Report the last kill of each service, with their number. C(services) are by unit."""
    kills: dict[str, list[tuple[str, str, str]]] = {}
    for line in text.splitlines():
        match = _KILL.search(line)
        unit = match[2].rpartition("/")[2] if match else ""
        if match and unit in services:
            kills.setdefault(unit, []).append((line.split(" ", 1)[0], match[3], match[1]))
    for unit, found in kills.items():
        when, task, constraint = found[-1]
        whose = "the unit's own limit (MemoryMax=)" if constraint == "CONSTRAINT_MEMCG" else "the host's memory"
        cause = f"{whose} ran out, and the kernel has killed {len(found)} processes of {unit} since boot, the last one ({task}) at {when}"
        yield error("out-of-memory", cause, f"journalctl --dmesg --boot --grep=oom-kill --no-pager; systemctl status {unit}", services[unit])
