# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dictionaries with a fixed set of keys, read key by key."""

from __future__ import annotations

from typing import Any, Mapping

from . import values
from .errors import Bad, Fault, did_you_mean, shown


def read(host: str, key: str, raw: Any, readers: Mapping[str, values.Reader], what: str) -> tuple[dict[str, Any], list[Fault]]:
    """The keys that could be read, typed. What cannot be used, and what C(what) (as in "a preset") does not have, is left out and a fault; null is
    left out."""
    try:
        pairs = values.mapping(raw)
    except Bad as bad:
        return {}, [Fault(host, "", key, shown(raw), bad.why, bad.remedy)]
    found: dict[str, Any] = {}
    faults = []
    for part, value in pairs.items():
        where = f"{key}.{part}"
        if part not in readers:
            remedy = did_you_mean(part, readers, f"{what} has {', '.join(readers)}")
            faults.append(Fault(host, "", where, shown(value, part), f"{what} has no such key", remedy))
        elif value is not None:
            try:
                found[part] = readers[part](value)
            except Bad as bad:
                faults.append(Fault(host, "", where, shown(value, part), bad.why, bad.remedy))
    return found, faults


def prose(value: Any) -> str:
    """Text, on as many lines as it likes."""
    if not isinstance(value, str):
        raise Bad("this is not text", "write it as text")
    return value
