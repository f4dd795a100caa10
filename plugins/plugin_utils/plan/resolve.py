# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry point of the plan: hosts with variables and facts in, resolved plans out, or all errors at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Iterable, Iterator, Mapping

from .artifacts import repositories
from .checks import MULTI_NODE_CHECKS, HOST_CHECKS
from .errors import PlanError, PlanWarning, render_warnings
from .host.host_proxy import proxy_between
from .host.weights_peers import share_out
from .inputs import acceptance, amd_gpus, definitions, facts, near_names, secrets, services, settings, uncatalogued
from .inputs.catalogue import Catalogue
from .inputs.run import EVERYWHERE, HostInput, Run
from .inputs.settings import proxies
from .output.document import host_document
from .placement.disaggregation import paired
from .placement.draft import HostDraft, draft_service
from .placement.multi_node import assemble
from .placement.replicas import replicas_of
from .vllm.tables import Tables

# Checks that run while the inventory is read, outside the package checks.
_OF_INPUTS = (definitions.HIDDEN_CHECK, near_names.CHECK)


@dataclass(frozen=True)
class Plan:
    """The resolved plan of each host, empty when there are errors."""

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: list[PlanError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    accepted: list[acceptance.Accepted] = field(default_factory=list)


# Variables of a host that the plan reads: settings, and variables without a default in a role.
VARIABLES: tuple[str, ...] = (
    *settings.NAMES, *secrets.VARIABLES, "model_services", "plan_catalogue", "plan_gpus", "plan_accept", "ansible_host", proxies.PASSWORD,
)


def resolve(
    hosts: Iterable[HostInput],
    defaults: Mapping[str, Any],
    catalogue: Catalogue,
    tables: Tables,
    answers: uncatalogued.Answers = MappingProxyType({}),
    run: Run = EVERYWHERE,
) -> Plan:
    """Work out the plan of all hosts.

    :param hosts: all hosts of the inventory in its order, whatever the limit of the run
    :param defaults: defaults of all roles, by variable
    :param answers: metadata from endpoints about models without a catalogue entry, see C(questions)
    :param run: the run that the plan is for
    :raises settings.MissingDefault: when a role lacks a default, which is a bug of this collection
    """
    keys = tables.flags.keys
    errors: list[PlanError] = []
    warnings: list[PlanWarning] = []
    alone: list[HostDraft] = []
    accepted: dict[str, dict[str, str]] = {}
    taken: list[acceptance.Accepted] = []
    defined_in: dict[str, list[str]] = {}
    for host in hosts:
        draft, accepted[host.name], found = _draft_host(host, defaults, catalogue, tables, keys, answers)
        alone.append(draft)
        errors += found
        warnings += _not_accepted(host.warnings, accepted[host.name], taken)
        defined_in[host.name] = list(host.defined_in)
    assembled, multi_node_services = assemble(alone)
    assembled = paired(assembled)
    known = frozenset(name for draft in assembled for name in (draft.name, draft.address))
    drafts = [replace(draft, proxy=proxy_between(draft, known)) for draft in share_out(assembled, run)]
    findings = [finding for draft in drafts for finding in _findings(draft, accepted[draft.name], taken)]
    findings += [finding for service in multi_node_services for check in MULTI_NODE_CHECKS for finding in check.findings(service, run)]
    for finding in findings:
        if isinstance(finding, PlanError):
            errors.append(finding)
        else:
            warnings.append(finding)
    replicas = replicas_of(drafts)
    documents = {} if errors else {draft.name: host_document(draft, defined_in[draft.name], replicas) for draft in drafts}
    return Plan(documents, list(dict.fromkeys(errors)), render_warnings(warnings), list(dict.fromkeys(taken)))


def questions(host: HostInput, defaults: Mapping[str, Any], catalogue: Catalogue) -> list[uncatalogued.Question]:
    """The queries to endpoints before C(resolve): models of a host's services without a catalogue entry, and extra repositories.

    :raises settings.MissingDefault: as C(resolve) does
    """
    raw = host.variables.get("model_services", [])
    models = [service.get("model") for service in raw if isinstance(service, Mapping)] if isinstance(raw, (list, tuple)) else []
    own = host.variables.get("plan_catalogue", {})
    named = repositories.are_named(raw)
    # Reading the settings takes time, and most hosts need no query.
    if not named and not own and not any(uncatalogued.is_unknown(model, catalogue) for model in models):
        return []
    own_catalogue, _bad = catalogue.with_own(host.name, own)
    if not named and not any(uncatalogued.is_unknown(model, own_catalogue) for model in models):
        return []
    read_settings, _bad = settings.read(host.name, defaults, host.variables)
    return [*uncatalogued.questions(raw, read_settings, own_catalogue), *repositories.questions(raw, read_settings)]


def acceptable(tables: Tables) -> tuple[str, ...]:
    """Names for plan_accept: those of checks and of advisories."""
    return (*(check.accept for check in HOST_CHECKS if check.accept), *_OF_INPUTS, *tables.advisories.names)


def _not_accepted(
    warnings: Iterable[PlanWarning], accepted: Mapping[str, str], taken: list[acceptance.Accepted]
) -> Iterator[PlanWarning]:
    """Warnings from reading the inventory, without the accepted ones, which are added to C(taken)."""
    for warning in warnings:
        remaining = _remaining(warning, warning.check, accepted, taken)
        if isinstance(remaining, PlanWarning):
            yield remaining


def _findings(draft: HostDraft, accepted: Mapping[str, str], taken: list[acceptance.Accepted]) -> Iterator[PlanError | PlanWarning]:
    """Findings of the checks. Accepted ones are added to C(taken)."""
    for check in HOST_CHECKS:
        for finding in check.findings(draft):
            remaining = _remaining(finding, finding.check or check.accept, accepted, taken)
            if remaining is not None:
                yield remaining


def _remaining(
    finding: PlanError | PlanWarning, name: str, accepted: Mapping[str, str], taken: list[acceptance.Accepted]
) -> PlanError | PlanWarning | None:
    """What remains of a finding after plan_accept. C(name) is that by which it can be accepted, or empty."""
    if not name:
        return finding
    record = acceptance.taken(finding, name, accepted)
    if record is not None:
        taken.append(record)
    return acceptance.apply(finding, name, accepted)


def _draft_host(
    host: HostInput, defaults: Mapping[str, Any], catalogue: Catalogue, tables: Tables, keys: frozenset[str], answers: uncatalogued.Answers
) -> tuple[HostDraft, dict[str, str], list[PlanError]]:
    errors = [*host.errors, *secrets.check(host.name, host.variables)]
    read_settings, bad = settings.read(host.name, defaults, host.variables)
    errors += bad
    own_catalogue, bad = catalogue.with_own(host.name, host.variables.get("plan_catalogue", {}))
    errors += bad
    read_services, bad = services.read_all(host.name, host.variables.get("model_services", []), keys)
    errors += bad
    unacceptable = [check.name for check in HOST_CHECKS if not check.accept]
    accepted, bad = acceptance.read(host.name, host.variables.get(acceptance.KEY, {}), acceptable(tables), unacceptable)
    errors += bad
    stated, bad = facts.read_stated_gpus(host.name, host.variables.get("plan_gpus"))
    errors += bad
    errors += proxies.password_errors(host.name, host.variables.get(proxies.PASSWORD, ""))
    if stated is not None:
        stated = amd_gpus.recognised(stated, tables.platforms.rocm)
    read_facts = facts.read(host.facts)
    if read_facts is not None:
        read_facts = replace(read_facts, gpus=amd_gpus.counted(read_facts.gpus, tables.platforms.rocm, stated, read_settings.cuda_driver_install))
    gpus = stated
    if read_facts is not None and (read_facts.gpus or stated is None):
        gpus = facts.completed(read_facts.gpus, stated)
    address = host.variables.get("ansible_host")
    draft = HostDraft(
        name=host.name,
        address=address if isinstance(address, str) and address else host.name,
        settings=read_settings,
        facts=read_facts,
        gpus=gpus,
        gpus_are_stated=stated is not None,
        services=tuple(
            draft_service(service, read_settings, own_catalogue, tables, gpus, answers) for service in read_services if service.state == services.PRESENT
        ),
        absent=tuple(service for service in read_services if service.state == services.ABSENT),
        catalogue=own_catalogue,
        tables=tables,
        accepted=frozenset(accepted),
    )
    return draft, accepted, errors
