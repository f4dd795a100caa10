# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names: what units, files, directories and accounts are called after."""

from __future__ import annotations

from collections import Counter
from typing import Iterator

from ..errors import PlanError, shown
from ..inputs.distributed import RAY
from ..inputs.services import Service
from ..inputs.settings.accounts import MARK, account_name
from ..placement.draft import HostDraft
from .base import check

# What remove.yml takes for every service of a host.
_EVERYONE = "all"
# The worker beside Ray's head node that is no node (plugins/module_utils/supervisor/base.py).
_ENGINE = "engine"
_OTHER_NAME = "give the service another name"


def _everyone(host: HostDraft) -> list[Service]:
    """All services of a host that have a name, those too that go: their files go with them."""
    return [service for service in [*(draft.service for draft in host.services), *host.absent] if service.name]


@check(every_engine=True)
def service_names_are_unique(host: HostDraft) -> Iterator[PlanError]:
    """Each service of a host has a name of its own."""
    for name, count in Counter(service.name for service in _everyone(host)).items():
        if count > 1:
            why = f"{count} services of the host have this name, and a name means one unit"
            yield PlanError(host.name, str(name), "name", str(name), why, "give each a name of its own")


@check(every_engine=True)
def service_names_are_not_reserved(host: HostDraft) -> Iterator[PlanError]:
    """No service's files are those of another one, or something else of this collection's."""
    owners = dict(_own(host))
    for service in {str(service.name): service for service in _everyone(host)}.values():
        name = str(service.name)
        if name == _EVERYONE:
            why = f"{_EVERYONE} means every service where one is to be removed"
            yield PlanError(host.name, service.label, "name", name, why, _OTHER_NAME)
        for path in _claimed(host, service):
            owner = owners.setdefault(path, f"service {name}")
            if owner != f"service {name}":
                yield PlanError(host.name, service.label, "name", name, f"{path} would be its own, and it is what {owner} has", _OTHER_NAME)
                break


def _own(host: HostDraft) -> Iterator[tuple[str, str]]:
    """What the collection itself has in folders where services have something of their name, and whose it is."""
    settings = host.settings
    yield f"{settings.host_config_dir}/weights.env", "the download of weights"
    # The folder itself, and those that hold it.
    parts = settings.vllm_uv_cache_dir.split("/")
    for end in range(2, len(parts) + 1):
        yield "/".join(parts[:end]), "uv's cache (vllm_uv_cache_dir)"


def _claimed(host: HostDraft, service: Service) -> list[str]:
    """Files and folders that are a service's by its name, those of its former parts included, which go with it."""
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
    """The account of each service is its own: not another's of the inventory, and none that somebody else has made on the host."""
    settings = host.settings
    others = {
        settings.host_user: "the account that downloads (host_user)",
        settings.host_group: "the group of all services (host_group)",
        settings.weights_mirror_user: "the account of the mirror (weights_mirror_user)",
    }
    present = host.facts.accounts if host.facts is not None else {}
    for service in _everyone(host):
        name = str(service.name)
        account = account_name(settings.model_service_account_prefix, name)
        key, fix = "name", f"{_OTHER_NAME}, or let the names of accounts begin otherwise with model_service_account_prefix"
        if account in others:
            yield PlanError(host.name, service.label, key, name, f"its account would be {account}, which is {others[account]}", fix)
        elif account in present and present[account] != f"{MARK}{name}":
            comment = shown(present[account]) or "none"
            why = f"its account would be {account}, which is on the host already and was not made for this service (its comment is {comment})"
            yield PlanError(host.name, service.label, key, name, why, f"{fix}; or rename that account, if nothing of it is needed")


@check()
def node_names_are_not_reserved(host: HostDraft) -> Iterator[PlanError]:
    """No node of a service on Ray is called what its engine is called among the parts of the service."""
    for draft in host.services:
        distributed = draft.service.distributed
        if host.name == _ENGINE and distributed is not None and distributed.backend == RAY:
            why = f"{_ENGINE} is the part of the service beside Ray's head, and the parts tell each other by name"
            fix = "give the host another name in the inventory, with its address in ansible_host"
            yield PlanError(host.name, draft.label, "distributed", _ENGINE, why, fix)
