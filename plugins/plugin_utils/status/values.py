# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers as people read them, without spaces: a cell of a table must not be broken."""

from __future__ import annotations

import datetime

UNKNOWN = "-"
_GIB = 2**30
_SCALE = (("T", 2**40), ("G", 2**30), ("M", 2**20), ("K", 2**10))


def duration(seconds: float) -> str:
    """Seconds in the two largest units: V(3d4h), V(2h05m), V(4m10s), V(12s)."""
    left = max(0, int(seconds))
    days, hours, minutes = left // 86400, left // 3600 % 24, left // 60 % 60
    if days:
        return f"{days}d{hours}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{left % 60:02}s" if minutes else f"{left}s"


def moment(text: str) -> datetime.datetime | None:
    """A time in ISO 8601, None for anything else."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def clock(text: str) -> str:
    """A time as V(2026-11-26 14:03:11 UTC); the text itself if it is none."""
    found = moment(text)
    return text if found is None else found.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def seconds_between(before: str, after: str) -> float | None:
    """Seconds between two times; None if one of them is unknown."""
    first, second = moment(before), moment(after)
    return None if first is None or second is None else (second - first).total_seconds()


def size(number: int | None) -> str:
    """Bytes as V(63.6G), in powers of 1024."""
    if number is None:
        return UNKNOWN
    for unit, factor in _SCALE:
        if number >= factor:
            return f"{number / factor:.1f}{unit}"
    return str(number)


def gibibytes(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number / _GIB:.1f}"


def share(fraction: float | None) -> str:
    """A fraction in per cent."""
    return UNKNOWN if fraction is None else f"{fraction * 100:.0f}%"


def shown(number: float | None, unit: str = "") -> str:
    return UNKNOWN if number is None else f"{number:g}{unit}"
