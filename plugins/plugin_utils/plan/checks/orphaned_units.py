# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orphaned units: units of this collection whose service has left the inventory."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, PlanWarning
from ..inputs.facts import UnitFacts, gpus_in_use
from ..placement.draft import HostDraft
from .base import check


def fix_of(host: HostDraft, service: str) -> str:
    """How to remove a service that has left the inventory, or to keep it."""
    return f"remove it with playbooks/remove.yml -l {host.name} -e remove_service={service}, or put it back into model_services"


@check(every_engine=True)
def no_orphaned_units_exist(host: HostDraft) -> Iterator[PlanWarning]:
    """No orphaned units exist on the host: the roles do not touch them, and they keep their GPUs and ports."""
    for unit in host.orphaned_units:
        if unit.runs:
            kept = "; its firewall rules stay as long as it runs" if host.settings.firewall_enabled else ""
            what = f"{unit.unit} runs on the host and is not in the inventory: it uses {_resources(unit)}{kept}"
        elif unit.enabled == "enabled":
            what = f"{unit.unit} is {unit.active or 'inactive'} on the host, is not in the inventory, and will start at the next boot"
        else:
            what = f"{unit.unit} is {unit.active or 'inactive'} on the host and is not in the inventory"
        yield PlanWarning(host.name, unit.service, f"{what}; {fix_of(host, unit.service)}")


def _resources(unit: UnitFacts) -> str:
    gpus = "its GPUs" if unit.gpus is None else f"GPU{'s' if len(unit.gpus) > 1 else ''} {', '.join(map(str, unit.gpus))}"
    return f"{gpus} and port {unit.port}" if unit.port else gpus


@check(accept="gpus-in-use", every_engine=True)
def gpus_are_not_in_use_by_orphaned_units(host: HostDraft) -> Iterator[PlanError]:
    """No service uses GPUs that an orphaned unit uses."""
    in_use = gpus_in_use(host.orphaned_units)
    for draft in host.services:
        # One error for each service and orphaned unit.
        units = {in_use[index].unit: in_use[index] for index in draft.gpus or () if index in in_use}
        for unit in units.values():
            indexes = ", ".join(str(index) for index in sorted(set(draft.gpus or ()) & set(unit.gpus or ())))
            why = f"{unit.unit} runs on the host, uses {'them' if ',' in indexes else 'it'}, and is not in the inventory"
            yield PlanError(host.name, draft.label, "gpus", indexes, why, f"{fix_of(host, unit.service)}; or name other GPUs with gpus")
