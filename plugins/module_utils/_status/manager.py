# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd knows about units: states with their times, restarts, memory, and what it has loaded."""

from __future__ import annotations

import dataclasses
import datetime
import time
import typing as t

from .. import _host
from . import texts

_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "StatusText", "UnitFileState", "MainPID", "NRestarts", "MemoryCurrent", "NeedDaemonReload",
    "DropInPaths", "ActiveEnterTimestampMonotonic", "InactiveEnterTimestampMonotonic", "InactiveExitTimestampMonotonic", "StateChangeTimestampMonotonic",
)
# systemd's word for "no value" of a 64-bit number.
_NONE = 2**64 - 1
# The property with the time at which a unit entered its state (org.freedesktop.systemd1(5)); a change of the state below it counts for others.
_SINCE = {
    "active": "ActiveEnterTimestampMonotonic", "inactive": "InactiveEnterTimestampMonotonic", "failed": "InactiveEnterTimestampMonotonic",
    "activating": "InactiveExitTimestampMonotonic",
}


@dataclasses.dataclass(frozen=True)
class State:
    """A unit as systemd sees it. C(since) is the time of its present state in UTC, ISO 8601; empty for a unit that has never run."""

    load: str
    active: str
    sub: str
    result: str
    status: str
    enabled: str
    since: str
    main_pid: int
    restarts: int
    memory_bytes: int | None
    needs_reload: bool
    drop_ins: tuple[str, ...]


def read(units: t.Sequence[str]) -> dict[str, State]:
    """Return the state of units by name. Raises OSError when systemd does not answer."""
    if not units:
        return {}
    said = _host.run("systemctl", "show", "--property=" + ",".join(_PROPERTIES), "--", *units)
    if not said.strip():
        raise OSError(f"systemctl show failed, or gave no answer within {_host.RUN_SECONDS} s")
    return parse(said, units, time.time() - time.clock_gettime(time.CLOCK_MONOTONIC))


def parse(text: str, units: t.Sequence[str], booted: float) -> dict[str, State]:
    """Return the states from the output of C(systemctl show), which has a block for each unit in the order of its arguments.

    :param booted: wall-clock time at which the monotonic clock was 0, in seconds
    """
    blocks = [dict(line.partition("=")[::2] for line in block.strip().splitlines()) for block in text.split("\n\n") if block.strip()]
    return {unit: _state(block, booted) for unit, block in zip(units, blocks)}


def _state(found: t.Mapping[str, str], booted: float) -> State:
    active = found.get("ActiveState", "")
    memory = found.get("MemoryCurrent", "")
    return State(
        load=found.get("LoadState", ""), active=active, sub=found.get("SubState", ""), result=found.get("Result", ""),
        status=texts.one_line(found.get("StatusText", "")), enabled=found.get("UnitFileState", ""),
        since=_time(found.get(_SINCE.get(active, "StateChangeTimestampMonotonic"), ""), booted),
        main_pid=_number(found.get("MainPID", "")), restarts=_number(found.get("NRestarts", "")),
        memory_bytes=int(memory) if memory.isdigit() and int(memory) < _NONE else None,
        needs_reload=found.get("NeedDaemonReload", "") == "yes", drop_ins=tuple(found.get("DropInPaths", "").split()),
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _time(microseconds: str, booted: float) -> str:
    """Return a time of the monotonic clock as a date. 0 means never."""
    if not microseconds.isdigit() or microseconds == "0":
        return ""
    return datetime.datetime.fromtimestamp(booted + int(microseconds) / 1e6, datetime.timezone.utc).isoformat(timespec="seconds")
