# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reader of dictionaries with a fixed set of keys."""

from __future__ import annotations

from typing import Any, Mapping

from . import values
from .errors import InvalidValue, PlanError, did_you_mean, shown


def read(host: str, key: str, raw: Any, readers: Mapping[str, values.Reader], what: str) -> tuple[dict[str, Any], list[PlanError]]:
    """The valid keys with typed values. Invalid values and unknown keys are errors and left out; null is left out.

    :param what: what the dictionary describes, such as "a preset"
    """
    try:
        pairs = values.mapping(raw)
    except InvalidValue as bad:
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
            except InvalidValue as bad:
                errors.append(PlanError(host, "", where, shown(value, part), bad.why, bad.fix))
    return found, errors


def prose(value: Any) -> str:
    """Text on any number of lines."""
    if not isinstance(value, str):
        raise InvalidValue("this is not text", "write it as text")
    return value
