# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objectives of a service, from which alert rules are made: seconds that a first token and the queue may take, and shares of requests."""

from __future__ import annotations

from typing import Any

from .. import values
from ..errors import InvalidValue, did_you_mean, shown

# Upper limits of seconds; shares are above 0 and below 1.
SECONDS = {"ttft_seconds": 3600.0, "queue_seconds": 3600.0}
# Share of requests within the seconds, and share of requests that may fail.
RATIOS = ("ttft_ratio", "queue_ratio", "error_ratio")
KEYS = (*SECONDS, *RATIOS)
_FORM = "write them as {ttft_seconds: 2, ttft_ratio: 0.99, queue_seconds: 1, queue_ratio: 0.99, error_ratio: 0.001}, each of which may be left out"
# Ratios that need a number of seconds.
_NEEDS = {"ttft_ratio": "ttft_seconds", "queue_ratio": "queue_seconds"}


def read(value: Any) -> dict[str, float]:
    """The objectives as numbers. Raises InvalidValue."""
    found = {key: _number(key, item) for key, item in values.mapping(value).items() if item is not None}
    for ratio, seconds in _NEEDS.items():
        if ratio in found and seconds not in found:
            raise InvalidValue(f"{ratio} has no meaning without {seconds}", f"set {seconds} too, or remove {ratio}")
    return found


def _number(key: Any, value: Any) -> float:
    if key not in KEYS:
        raise InvalidValue(f"there is no objective {shown(str(key))}", did_you_mean(key, KEYS, _FORM))
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    most = SECONDS.get(key)
    if number is None:
        raise InvalidValue(f"{key} {shown(value)} is not a number", _FORM)
    if most is not None and not 0 < number <= most:
        raise InvalidValue(f"{key} {shown(value)} is not between 0 and {most:.0f} seconds", "write seconds, such as 2 or 0.5")
    if most is None and not 0 < number < 1:
        fix = "write a share of requests between 0 and 1, such as 0.001" if key == "error_ratio" else "write a share of requests between 0 and 1, such as 0.99"
        raise InvalidValue(f"{key} {shown(value)} is not between 0 and 1", fix)
    return number
