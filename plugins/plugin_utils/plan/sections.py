# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dictionaries with a fixed set of keys, read key by key."""

from __future__ import annotations

from typing import Any, Mapping

from . import values
from .errors import Bad, PlanError, did_you_mean, shown


def read(host: str, key: str, raw: Any, readers: Mapping[str, values.Reader], what: str) -> tuple[dict[str, Any], list[PlanError]]:
    """The keys that could be read, typed. What cannot be used, and what C(what) (as in "a preset") does not have, is left out and an error; null is
    left out."""
    try:
        pairs = values.mapping(raw)
    except Bad as bad:
        return {}, [PlanError(host, "", key, shown(raw), bad.why, bad.fix)]
    found: dict[str, Any] = {}
    errors = []
    for part, value in pairs.items():
        where = f"{key}.{part}"
        if part not in readers:
            fix = did_you_mean(part, readers, f"{what} has {', '.join(readers)}")
            errors.append(PlanError(host, "", where, shown(value, part), f"{what} has no such key", fix))
        elif value is not None:
            try:
                found[part] = readers[part](value)
            except Bad as bad:
                errors.append(PlanError(host, "", where, shown(value, part), bad.why, bad.fix))
    return found, errors


def prose(value: Any) -> str:
    """Text, on as many lines as it likes."""
    if not isinstance(value, str):
        raise Bad("this is not text", "write it as text")
    return value
