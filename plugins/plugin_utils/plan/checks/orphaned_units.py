# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What still runs on a host and is in no inventory any more."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, PlanWarning
from ..inputs.facts import UnitFacts, gpus_in_use
from ..placement.draft import HostDraft
from .base import check


def fix_of(host: HostDraft, service: str) -> str:
    """How a service that has left the inventory is taken away, or comes back."""
    return f"take it away with playbooks/remove.yml -l {host.name} -e remove_service={service}, or put it back into model_services"


@check(every_engine=True)
def no_orphaned_units_exist(host: HostDraft) -> Iterator[PlanWarning]:
    """Units of ours whose service is in the inventory no more are told of: nothing touches them, and they hold what they hold."""
    for unit in host.orphaned_units:
        if unit.runs:
            kept = "; what lets others reach it stays in the firewall as long as it runs" if host.settings.firewall_enabled else ""
            what = f"{unit.unit} runs on the host and is in no inventory: it holds {_holds(unit)}{kept}"
        elif unit.enabled == "enabled":
            what = f"{unit.unit} is {unit.active or 'inactive'} on the host, is in no inventory, and will start at the next boot"
        else:
            what = f"{unit.unit} is left on the host, {unit.active or 'inactive'}, and is in no inventory"
        yield PlanWarning(host.name, unit.service, f"{what}; {fix_of(host, unit.service)}")


def _holds(unit: UnitFacts) -> str:
    gpus = "the GPUs that it was given" if unit.gpus is None else f"GPU{'s' if len(unit.gpus) > 1 else ''} {', '.join(map(str, unit.gpus))}"
    return f"{gpus} and port {unit.port}" if unit.port else gpus


@check(accept="gpus-in-use", every_engine=True)
def gpus_are_not_in_use_by_orphaned_units(host: HostDraft) -> Iterator[PlanError]:
    """No service is planned on GPUs that a unit which is in no inventory computes on."""
    in_use = gpus_in_use(host.orphaned_units)
    for draft in host.services:
        # One that is on its fix, or has another name now, is told of once for each service.
        units = {in_use[index].unit: in_use[index] for index in draft.gpus or () if index in in_use}
        for unit in units.values():
            indexes = ", ".join(str(index) for index in sorted(set(draft.gpus or ()) & set(unit.gpus or ())))
            why = f"{unit.unit} runs on the host, computes on {'them' if ',' in indexes else 'it'}, and is in no inventory"
            yield PlanError(host.name, draft.label, "gpus", indexes, why, f"{fix_of(host, unit.service)}; or name other GPUs with gpus")
