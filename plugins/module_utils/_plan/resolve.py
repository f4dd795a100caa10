# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way into the plan: hosts with their variables and facts in, documents out, or every fault at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping

from . import facts, services, settings
from .catalogue import Catalogue
from .document import host_document
from .draft import HostDraft, draft_service
from .faults import Fault, Notice, render_notices
from .flags import FlagTable
from .rules import RULES


@dataclass(frozen=True)
class HostInput:
    """A host as the inventory has it: templated variables that are defined for it, facts if there are any.

    C(faults) are those found while the variables were read; what they are about is left out of the variables.
    """

    name: str
    variables: Mapping[str, Any]
    facts: Any = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Documents by host, empty when there are faults."""

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


# Variables of a host that the plan reads: settings, and what is not a setting because no role has a default for it that counts.
VARIABLES: tuple[str, ...] = (*settings.NAMES, "model_services", "plan_catalogue", "plan_gpus", "ansible_host")


def resolve(hosts: Iterable[HostInput], defaults: Mapping[str, Any], catalogue: Catalogue, flags: FlagTable) -> Plan:
    """Work out the plan of all hosts.

    :param defaults: defaults of all roles, by variable
    :raises settings.MissingDefault: when the roles lack a default, which no inventory can cause
    """
    keys = flags.keys
    faults: list[Fault] = []
    notices: list[Notice] = []
    drafts: list[HostDraft] = []
    for host in hosts:
        draft, found = _draft_host(host, defaults, catalogue, flags, keys)
        drafts.append(draft)
        faults += found
        for rule in RULES:
            for finding in rule(draft):
                if isinstance(finding, Fault):
                    faults.append(finding)
                else:
                    notices.append(finding)
    documents = {} if faults else {draft.name: host_document(draft) for draft in drafts}
    return Plan(documents, list(dict.fromkeys(faults)), render_notices(notices))


def _draft_host(host: HostInput, defaults: Mapping[str, Any], catalogue: Catalogue, flags: FlagTable, keys: frozenset[str]) -> tuple[HostDraft, list[Fault]]:
    faults = list(host.faults)
    read_settings, bad = settings.read(host.name, defaults, host.variables)
    faults += bad
    own_catalogue, bad = catalogue.with_own(host.name, host.variables.get("plan_catalogue", {}))
    faults += bad
    read_services, bad = services.read_all(host.name, host.variables.get("model_services", []), keys)
    faults += bad
    stated, bad = facts.read_stated_gpus(host.name, host.variables.get("plan_gpus"))
    faults += bad
    read_facts = facts.read(host.facts)
    gpus = stated
    if read_facts is not None and (read_facts.gpus or stated is None):
        gpus = read_facts.gpus
    address = host.variables.get("ansible_host")
    draft = HostDraft(
        name=host.name,
        address=address if isinstance(address, str) and address else host.name,
        settings=read_settings,
        facts=read_facts,
        gpus=gpus,
        gpus_are_stated=stated is not None,
        services=tuple(draft_service(service, read_settings, own_catalogue, flags, gpus) for service in read_services if service.state == services.PRESENT),
        absent=tuple(service for service in read_services if service.state == services.ABSENT),
        catalogue=own_catalogue,
        flags=flags,
    )
    return draft, faults
