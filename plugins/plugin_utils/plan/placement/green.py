# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blue/green updates: a service's new engine (green) starts beside the old one (blue), in a temporary unit with a port and GPUs of its own.

Whether that fits on the host, and the service as the temporary unit runs it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Iterator, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils import _green

from ..inputs.facts import Gpu, UnitFacts
from ..inputs.settings.rollout import BLUE_GREEN
from ..vllm import lora
from .draft import HostDraft, ServiceDraft, visible
from .node_units import ports as ports_of_node, worker_ports
from .service_unit import ServiceUnit, single_unit

# Added to a service's port. Ports of services are usually below 10000, so that both are below Linux's ephemeral ports (32768).
PORT_OFFSET = 10000
_LAST_PORT = 65535
# Arguments whose value opens sockets, and connectors (vllm/distributed/kv_transfer/kv_connector/factory.py) that open none.
_WITH_SOCKETS = ("kv_transfer_config", "kv_events_config")
_LOCAL_CONNECTORS = ("OffloadingConnector", "SharedStorageConnector", "ExampleConnector")
_SSH = 22
_RECREATE = "set model_service_update_strategy: recreate"


@dataclass(frozen=True)
class Green:
    """The temporary unit of a service: its port and GPUs. C(why) is why it does not fit on the host, with the C(fix); empty when it fits."""

    unit: str
    port: int
    gpus: tuple[int | str, ...] = field(default=())
    why: str = ""
    fix: str = ""

    @property
    def fits(self) -> bool:
        return not self.why


def green_of(host: HostDraft, draft: ServiceDraft) -> Green | None:
    """The temporary unit of a service. None for multi-node services, whose nodes restart together."""
    service = draft.service
    if draft.is_distributed or draft.placement is not None or not service.name or service.port is None:
        return None
    green = Green(_green.unit_of(service.name), service.port + PORT_OFFSET)
    if service.host == "localhost" or service.host.startswith(("127.", "::1")):
        why = f"it listens on {service.host}, and connections of the host itself cannot be redirected to its temporary unit"
        return replace(green, why=why, fix=f"let it listen on another address; or {_RECREATE}")
    for why, fix in (*_port_conflicts(host, draft, green), *_fixed_ports(draft), *_held(host, draft)):
        return replace(green, why=why, fix=f"{fix}; or {_RECREATE}")
    gpus, why = _free_gpus(host, draft)
    if why:
        return replace(green, why=why, fix=f"leave as many GPUs of the host to no service, and name the service's own in gpus; or {_RECREATE}")
    return replace(green, gpus=gpus)


def planned(host: HostDraft, draft: ServiceDraft) -> Green | None:
    """The temporary unit of a service that the settings update blue/green, where it fits."""
    green = green_of(host, draft) if host.settings.model_service_update_strategy == BLUE_GREEN else None
    return green if green is not None and green.fits else None


def is_deployed(host: HostDraft, draft: ServiceDraft) -> bool:
    """Whether the service runs on the host already. Otherwise there is nothing to update."""
    return any(unit.unit == draft.service.unit and unit.runs for unit in _units(host))


def _units(host: HostDraft) -> tuple[UnitFacts, ...]:
    return host.facts.units if host.facts is not None else ()


def _port_conflicts(host: HostDraft, draft: ServiceDraft, green: Green) -> Iterator[tuple[str, str]]:
    fix = "choose another port for the service"
    if green.port > _LAST_PORT:
        why = f"its temporary unit needs port {green.port} (its port + {PORT_OFFSET}), which is above {_LAST_PORT}"
        yield why, f"choose a port up to {_LAST_PORT - PORT_OFFSET}"
        return
    needs = f"its temporary unit needs port {green.port} (its port + {PORT_OFFSET}), and"
    for other in host.services:
        if green.port in _ports_of(other):
            yield f"{needs} {other.label} on this host has it", fix
    if green.port == _SSH or (host.facts is not None and green.port in host.facts.firewall.ssh_ports):
        yield f"{needs} it is SSH's port", fix
    if any(port == green.port for port, _source in host.weights_clients):
        yield f"{needs} this host shares weights on it", fix
    for listener in host.facts.listeners if host.facts is not None else ():
        # An earlier run may have left the temporary unit.
        if listener.port == green.port and listener.unit != green.unit:
            yield f"{needs} {listener.unit or listener.program or 'another process'} listens on it", f"{fix}, or stop what listens there"


def _ports_of(draft: ServiceDraft) -> set[int | None]:
    placement = draft.placement
    nodes = () if placement is None else (*ports_of_node(placement).values(), *worker_ports(placement))
    return {draft.service.port if draft.answers else None, *nodes}


def _fixed_ports(draft: ServiceDraft) -> Iterator[tuple[str, str]]:
    """Further ports that a service sets: its two engines would both use them."""
    if draft.service.disaggregation is not None:
        yield "its two engines would both use the port of its side channel (disaggregation.port)", "remove disaggregation"
        return
    names = [*(f"vllm_args.{key}" for key in _port_keys(draft.given)), *(f"environment.{name}" for name in draft.environment if name.endswith("_PORT"))]
    # Their ports have defaults, and are not called so.
    names += [f"vllm_args.{key}" for key in _WITH_SOCKETS if draft.given.get(key) and not _is_local(draft.given[key])]
    if names:
        yield f"its two engines would both use the port in {', '.join(dict.fromkeys(names))}", "remove it"


def _is_local(value: Any) -> bool:
    """Whether a connector of the KV cache opens no socket."""
    return isinstance(value, Mapping) and str(value.get("kv_connector", "")) in _LOCAL_CONNECTORS


def _held(host: HostDraft, draft: ServiceDraft) -> Iterator[tuple[str, str]]:
    """What another service that stays still has, and the service is to get: they change one after the other, so the first could not start."""
    others = {other.service.unit: other for other in host.services}
    for unit in _units(host):
        other = others.get(unit.unit)
        if other is None or other is draft or not unit.runs:
            continue
        moved = set(unit.gpus or ()) - set(other.gpus or ())
        if unit.port == draft.service.port or (not draft.on_cpu and moved & set(draft.gpus or ())):
            yield f"{unit.unit} still has its port or GPUs, and services change one after the other", "move the services in two runs"


def _port_keys(value: Any, path: str = "") -> list[str]:
    """Keys of ports in arguments, and in dictionaries inside them, such as kv_port in kv_transfer_config."""
    if not isinstance(value, Mapping):
        return []
    found = []
    for key, item in value.items():
        where = f"{path}.{key}" if path else str(key)
        found += [where] if str(key).endswith("_port") and item is not None else _port_keys(item, where)
    return found


def _free_gpus(host: HostDraft, draft: ServiceDraft) -> tuple[tuple[int | str, ...], str]:
    """As many GPUs as the service has, of the same model, that no service uses; or why there are not enough. An engine on CPUs needs none."""
    if draft.on_cpu:
        return (), ""
    if host.gpus is None or draft.gpus is None:
        return (), "the plan does not know the host's GPUs"
    for unit in _units(host):
        # Without CUDA_VISIBLE_DEVICES an engine on GPUs uses all of them.
        if unit.runs and unit.gpus is None and not any(_has_no_index(other) for other in host.services if unit.unit == other.service.unit):
            return (), f"{unit.unit} runs on all GPUs of the host"
    used = {index for other in host.services if not other.on_cpu for index in other.gpus or ()}
    used |= {index for unit in _units(host) if unit.runs for index in unit.gpus or ()}
    by_index = {gpu.index: gpu for gpu in host.gpus}
    free = Counter[tuple[Any, ...]]()
    picked: list[int | str] = []
    wanted = Counter(_model(by_index[index]) for index in dict.fromkeys(draft.gpus) if index in by_index)
    for gpu in host.gpus:
        parts = {gpu.index, gpu.parent} if gpu.parent is not None else {gpu.index}
        if used & parts or gpu.error or gpu.split or _is_ill(host, parts) or free[_model(gpu)] >= wanted[_model(gpu)]:
            continue
        free[_model(gpu)] += 1
        picked.append(gpu.index)
    if sum(wanted.values()) > len(picked):
        return (), f"free GPUs of the same model that its temporary unit needs: {sum(wanted.values())}, that the host has: {len(picked)}"
    return tuple(picked), ""


def _has_no_index(draft: ServiceDraft) -> bool:
    """Whether a service uses no whole GPU: it runs on CPUs or on MIG slices, of which facts do not have the indexes."""
    return draft.on_cpu or any(isinstance(index, str) for index in draft.gpus or ())


def _model(gpu: Gpu) -> tuple[Any, ...]:
    return gpu.name, gpu.memory_bytes, gpu.parent is not None


def _is_ill(host: HostDraft, indexes: set[int | str]) -> bool:
    """Whether an engine must not use a GPU: the supervisor would wait instead of starting it."""
    return any(finding.is_error and finding.gpu in indexes for finding in host.facts.gpu_health) if host.facts is not None else False


def as_green(draft: ServiceDraft, green: Green, amd: bool = False) -> ServiceDraft:
    """The service as its temporary unit runs it: with its port and GPUs, and with caches of its own inside the service's cache.

    Before an engine starts it may clear the caches (another CUDA version, Transformers), which the old engine still uses.
    """
    cache = f"{draft.cache}/{_green.NAME}"
    environment = {name: _moved(value, draft.cache, cache) for name, value in draft.environment.items()}
    if not draft.on_cpu:
        environment |= visible(green.gpus, amd)
    if lora.VARIABLE in environment:
        environment[lora.VARIABLE] = _green.adapters_file(str(draft.service.name))
    service = replace(draft.service, port=green.port, gpus=draft.service.gpus if draft.on_cpu else green.gpus)
    return replace(draft, service=service, gpus=draft.gpus if draft.on_cpu else green.gpus, environment=dict(sorted(environment.items())), cache=cache)


def _moved(value: str, before: str, after: str) -> str:
    return after + value[len(before):] if value == before or value.startswith(before + "/") else value


def green_unit(host: HostDraft, draft: ServiceDraft, green: Green, argv: list[str], local_url: str) -> ServiceUnit:
    """The temporary unit. Its files are in /run, so that no reboot starts it. Its failures are logged with those of the service."""
    service = draft.service
    own = single_unit(host, draft, [], None)
    # The account and the directories are those of the service.
    made = single_unit(host, replace(as_green(draft, green, host.is_amd), cache=draft.cache), argv, local_url, green.unit, own.failures, ["--redirected"])
    return replace(made, environment_file=_green.environment_file(str(service.name)), served="", own_folders=own.own_folders)
