# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes on GPUs: those that do not belong to a service whose GPU it is, and whether one has used a GPU since an error."""

from __future__ import annotations

import os
import time
import typing as t

from .. import _host

# MPS's own process is on the GPU for those that use it.
_DAEMONS = ("nvidia-cuda-mps-server",)


def others(gpus: t.Sequence[t.Mapping[str, t.Any]], services: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return the processes that compute on a GPU of a managed service and do not belong to a unit of one: C(gpu), C(pid), C(name) and C(unit).

    :param services: the fact C(services): units with C(gpus), None for all
    """
    found = []
    for gpu in gpus:
        units = {service["unit"] for service in services if service["gpus"] is None or gpu["index"] in service["gpus"]}
        # Ray's units compute for the service of the same name.
        named = {_host.service_of(unit) for unit in units}
        units |= {service["unit"] for service in services if service["service"] in named}
        for process in gpu["processes"] if units else ():
            # C(C) computes, C(G) draws.
            if "C" not in process["type"] or os.path.basename(process["name"]) in _DAEMONS or not os.path.exists(f"/proc/{process['pid']}"):
                continue
            unit = _host.unit_of(process["pid"])
            if unit not in units:
                found.append({"gpu": gpu["index"], "pid": process["pid"], "name": process["name"], "unit": unit})
    return found


def started(pids: t.Iterable[int]) -> list[float]:
    """Return when these processes were started, in seconds since 1970; without those that have ended."""
    booted = time.time() - _uptime()
    found = []
    for pid in pids:
        # The second field, the program's name, may contain spaces and parentheses.
        fields = _host.read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if len(fields) > 19:
            found.append(booted + int(fields[19]) / os.sysconf("SC_CLK_TCK"))
    return found


def _uptime() -> float:
    try:
        return float(_host.read_text("/proc/uptime").split()[0])
    except (ValueError, IndexError):
        return 0.0
