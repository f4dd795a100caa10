# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of services, from which the names of units, files, directories and accounts follow."""

from __future__ import annotations

from collections import Counter
from typing import Iterator

from ..errors import PlanError, shown
from ..inputs.distributed import RAY
from ..inputs.services import Service
from ..inputs.settings.accounts import MARK, account_name
from ..placement.draft import HostDraft
from .base import check

# The name for all services of a host in remove.yml.
_ALL = "all"
# Name of the supervised process beside Ray's head (plugins/module_utils/supervisor/base.py).
_ENGINE = "engine"
_OTHER_NAME = "give the service another name"


def _all_services(host: HostDraft) -> list[Service]:
    """All services of a host with a name, absent ones included: their removal deletes their files."""
    return [service for service in [*(draft.service for draft in host.services), *host.absent] if service.name]


@check(every_engine=True)
def service_names_are_unique(host: HostDraft) -> Iterator[PlanError]:
    """Each service of a host has its own name."""
    for name, count in Counter(service.name for service in _all_services(host)).items():
        if count > 1:
            why = f"{count} services of the host have this name, and each name is one unit"
            yield PlanError(host.name, str(name), "name", str(name), why, "give each service its own name")


@check(every_engine=True)
def service_names_are_not_reserved(host: HostDraft) -> Iterator[PlanError]:
    """No service has the same files as another service or as another part of this collection."""
    owners = dict(_own(host))
    for service in {str(service.name): service for service in _all_services(host)}.values():
        name = str(service.name)
        if name == _ALL:
            why = f"{_ALL} means every service in remove.yml"
            yield PlanError(host.name, service.label, "name", name, why, _OTHER_NAME)
        for path in _claimed(host, service):
            owner = owners.setdefault(path, f"service {name}")
            if owner != f"service {name}":
                yield PlanError(host.name, service.label, "name", name, f"its file {path} is already used by {owner}", _OTHER_NAME)
                break


def _own(host: HostDraft) -> Iterator[tuple[str, str]]:
    """Paths of this collection in directories where services have paths with their name, each with its owner."""
    settings = host.settings
    yield f"{settings.host_config_dir}/weights.env", "the download of weights"
    # The directory itself and its parents.
    parts = settings.vllm_uv_cache_dir.split("/")
    for end in range(2, len(parts) + 1):
        yield "/".join(parts[:end]), "uv's cache (vllm_uv_cache_dir)"


def _claimed(host: HostDraft, service: Service) -> list[str]:
    """Files and directories of a service by its name, including those of its earlier units, which a removal deletes."""
    settings = host.settings
    name = str(service.name)
    config, state = settings.host_config_dir, settings.host_state_dir
    return [
        f"{config}/{name}.env",
        f"{config}/{name}.ray-head.env",
        f"{config}/{name}.ray-worker.env",
        f"{state}/checked/{name}",
        *([f"{state}/checked/network-{name}"] if service.distributed is not None else []),
        f"{settings.host_cache_dir}/{name}",
    ]


@check(every_engine=True)
def service_accounts_are_not_taken(host: HostDraft) -> Iterator[PlanError]:
    """Each service has its own account: not another account of the inventory, and not an unmanaged account of the host."""
    settings = host.settings
    others = {
        settings.host_user: "the download account (host_user)",
        settings.host_group: "the group of all services (host_group)",
        settings.weights_mirror_user: "the account of the mirror (weights_mirror_user)",
    }
    present = host.facts.accounts if host.facts is not None else {}
    for service in _all_services(host):
        name = str(service.name)
        account = account_name(settings.model_service_account_prefix, name)
        key, fix = "name", f"{_OTHER_NAME}, or set another model_service_account_prefix"
        if account in others:
            yield PlanError(host.name, service.label, key, name, f"its account would be {account}, which is {others[account]}", fix)
        elif account in present and present[account] != f"{MARK}{name}":
            comment = shown(present[account]) or "none"
            why = f"its account would be {account}, which exists on the host and was not created for this service (its comment is {comment})"
            yield PlanError(host.name, service.label, key, name, why, f"{fix}; or remove or rename that account")


@check()
def node_names_are_not_reserved(host: HostDraft) -> Iterator[PlanError]:
    """No node of a service on Ray has the name that the supervisor uses for the engine."""
    for draft in host.services:
        distributed = draft.service.distributed
        if host.name == _ENGINE and distributed is not None and distributed.backend == RAY:
            why = f"the supervisor uses the name {_ENGINE} for the engine beside Ray's head"
            fix = "rename the host in the inventory, with its address in ansible_host"
            yield PlanError(host.name, draft.label, "distributed", _ENGINE, why, fix)
