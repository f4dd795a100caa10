# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of ours on a host whose service has left the inventory: nobody removes them, and what they hold they go on holding."""

from __future__ import annotations

from typing import Iterable

from .facts import UnitFacts


def strays(units: Iterable[UnitFacts], names: Iterable[str | None]) -> list[UnitFacts]:
    """The units of services that are not among these names, be it as present or as absent ones."""
    known = set(names)
    return [unit for unit in units if unit.service not in known]


def held_gpus(units: Iterable[UnitFacts]) -> dict[int, UnitFacts]:
    """Which GPU is held by which unit that runs, as far as that is known."""
    return {index: unit for unit in units if unit.runs for index in unit.gpus or ()}
