# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run gives the plan: the hosts of the inventory with their variables and facts, and which of them the run reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..errors import PlanError, PlanWarning
from . import definitions


@dataclass(frozen=True)
class HostInput:
    """A host as the inventory has it: templated variables that are defined for it, facts if there are any.

    C(errors) are those found while the variables were read; what they are about is left out of the variables. C(warnings) go on to the plan's,
    unless one belongs to an accepted check. C(defined_in) are the variables that the services came from.
    """

    name: str
    variables: Mapping[str, Any]
    facts: Any = None
    errors: tuple[PlanError, ...] = ()
    warnings: tuple[PlanWarning, ...] = ()
    defined_in: tuple[str, ...] = (definitions.NAME,)


@dataclass(frozen=True)
class Run:
    """The run that the plan is for. C(hosts) are those that it reaches, None for all."""

    hosts: frozenset[str] | None = None


# A plan for looking at.
EVERYWHERE = Run()
