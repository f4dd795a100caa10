# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of the settings of the role cuda."""

from __future__ import annotations

import re

from typing import Any

from ... import values
from ...errors import InvalidValue, did_you_mean

SOURCES = ("wheels", "system", "packages", "none")

_ARCHITECTURE = re.compile(r"[1-9]\d?\.\d")
_BRANCH = re.compile(r"[1-9]\d{2}")


def source(value: Any) -> str:
    """The source of the toolkit."""
    word = values.string(value)
    if word not in SOURCES:
        raise InvalidValue("there is no such source of a CUDA toolkit", did_you_mean(word, SOURCES, f"choose among {', '.join(SOURCES)}"))
    return word


def architectures(value: Any) -> tuple[str, ...]:
    """Compute capabilities like 9.0, sorted and unique. YAML reads 9.0 without quotes as a number, which is accepted."""
    items = [str(item) if isinstance(item, float) else item for item in value] if isinstance(value, (list, tuple)) else value
    found = values.strings(items)
    for item in found:
        if not _ARCHITECTURE.fullmatch(item):
            raise InvalidValue(f"{item} is not a compute capability", "write each like 9.0, as nvidia-smi --query-gpu=compute_cap prints it")
    return tuple(sorted(set(found), key=lambda item: tuple(int(number) for number in item.split("."))))


def path(value: Any) -> str:
    """A path, or empty text."""
    return values.path(value) if value != "" else ""


def branch(value: Any) -> str:
    """A driver branch: the first number of its versions, which YAML reads as a number."""
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) else values.string(value)
    if not _BRANCH.fullmatch(found):
        raise InvalidValue("this is not a branch of NVIDIA's driver", "write the first number of its versions, like 580")
    return found
