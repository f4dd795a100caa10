# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts from outside on one short line, and numbers from outside that are numbers."""

from __future__ import annotations

import math
import typing as t

from .._masking import masked

# Characters of a text that is shown, and of what is masked first, so that no secret is truncated before it is recognised.
LONGEST = 300
_READ = 4000


def one_line(text: t.Any, most: int = LONGEST) -> str:
    """Return the beginning of a text, without secrets, control characters and line breaks; empty for what is no text."""
    if not isinstance(text, str):
        return ""
    clean = " ".join("".join(character if character.isprintable() else " " for character in masked(text[:_READ])).split())
    return clean if len(clean) <= most else clean[:most] + "…"


def number(value: t.Any) -> float | None:
    """Return a finite number that is not negative; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) and value >= 0 else None


def whole(value: t.Any) -> int | None:
    """Return a number as an integer; None for anything else."""
    found = number(value)
    return None if found is None else int(found)
