# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Input of the plan: the hosts of the inventory with their variables and facts, and the hosts that the run reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..errors import PlanError, PlanWarning
from . import definitions


@dataclass(frozen=True)
class HostInput:
    """A host of the inventory: its templated variables, and facts if there are any.

    C(errors) come from reading the variables, which are left out. C(warnings) become warnings of the plan, unless the user accepts their check.
    C(defined_in) are the variables that define the services.
    """

    name: str
    variables: Mapping[str, Any]
    facts: Any = None
    errors: tuple[PlanError, ...] = ()
    warnings: tuple[PlanWarning, ...] = ()
    defined_in: tuple[str, ...] = (definitions.NAME,)


@dataclass(frozen=True)
class Run:
    """The run that the plan is for. C(hosts) are the hosts that it reaches, None for all."""

    hosts: frozenset[str] | None = None


# A run that reaches all hosts.
EVERYWHERE = Run()
