# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service over several hosts, as far as one of its hosts can tell by itself."""

from __future__ import annotations

from typing import Iterator, Mapping

from ..errors import HIDDEN, PlanError, did_you_mean, shown
from ..inputs.distributed import MP, RAY
from ..placement.draft import HostDraft
from ..placement.node_units import LONGEST_TEMP_DIR, highest_port, temp_dir
from ..vllm.transports import Transport
from .base import check

# Arguments that a service over several hosts does not take: why, and what to do instead.
_BACKEND = ("the plan gives this flag itself", "say it with distributed.backend")
_REFUSED: dict[str, tuple[str, str]] = {
    "distributed_executor_backend": _BACKEND,
    **{
        key: (
            "a service over several hosts spreads one copy of the model, with tensor and pipeline parallel",
            "take it out; or take distributed out and serve a copy on each host",
        )
        for key in (
            "data_parallel_size", "data_parallel_size_local", "data_parallel_address", "data_parallel_backend", "data_parallel_start_rank",
            "data_parallel_rank", "data_parallel_rpc_port", "data_parallel_external_lb", "data_parallel_hybrid_lb",
        )
    },
}


@check()
def network_interface_exists(host: HostDraft) -> Iterator[PlanError]:
    """The network interface that a service names is one of the host's, with an address."""
    if host.facts is None or not host.facts.interfaces:
        return
    there = host.facts.interfaces
    for draft in host.services:
        wanted = draft.service.distributed.interface if draft.service.distributed is not None else None
        if wanted is not None and wanted not in there:
            why = "the host has no network interface of this name with an address"
            fix = did_you_mean(wanted, there, f"choose among {', '.join(there)}; where hosts differ, let a variable of each say it")
            yield PlanError(host.name, draft.label, "distributed.interface", shown(wanted), why, fix)


@check()
def arguments_support_multi_node(host: HostDraft) -> Iterator[PlanError]:
    """Nothing among the arguments goes against running over several hosts."""
    for draft in host.services:
        if not draft.is_distributed:
            continue
        for key, (why, fix) in _REFUSED.items():
            if key in draft.given and draft.given[key] != 1:
                yield PlanError(host.name, draft.label, f"vllm_args.{key}", shown(draft.given[key], key), why, fix)
        if draft.given.get("disable_log_stats"):
            why = "it takes away the counters by which the supervisor of a service over several hosts tells a busy engine from one that hangs"
            yield PlanError(host.name, draft.label, "vllm_args.disable_log_stats", shown(draft.given["disable_log_stats"]), why, "leave disable_log_stats out")


# Variables that the plan gives to each node of a service over several hosts: the way to the others, which differs from node to node.
_INTERFACE = "which each of its hosts may say for itself"
_WAYS = ("VLLM_HOST_IP", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "TP_SOCKET_IFNAME")
_MEETING = ("MASTER_ADDR", "MASTER_PORT", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
# Those that say by what NCCL goes from host to host, which is what distributed.transport is about.
_TRANSPORT = ("NCCL_IB_DISABLE", "NCCL_NET", "NCCL_NET_PLUGIN")


@check()
def network_variables_are_not_set(host: HostDraft) -> Iterator[PlanError]:
    """Addresses and interfaces are not set by hand: the same one on all nodes has all of them answer at the head's, or on another network than Ray."""
    for draft in host.services:
        if not draft.is_distributed or draft.service.distributed is None:
            continue
        said = draft.service.distributed
        hidden = dict.fromkeys(draft.service.secret_names, HIDDEN)
        layers = {"environment": draft.service.environment, "secret_environment": hidden, "model_service_environment": host.settings.model_service_environment}
        for key, layer in layers.items():
            for name, value in layer.items():
                finding = _owned(name, value, said.interface, said.transport, host.tables.transports)
                if finding is not None and value is not None:
                    yield PlanError(host.name, draft.label, f"{key}.{name}", shown(value, name), *finding)


def _owned(name: str, value: object, interface: str | None, transport: str | None, transports: Mapping[str, Transport]) -> tuple[str, str] | None:
    """Why a variable is not the user's to set on a service over several hosts, and what to do instead."""
    if name in _WAYS:
        why = "the plan gives each node of a service over several hosts its own, for one network for all that goes between them"
        has = f"take it out: distributed.interface {interface} gives it" if interface else "take it out"
        return why, has if interface else f"{has}, and name the network with distributed.interface, {_INTERFACE}"
    if name in _MEETING:
        return "the plan gives this to the nodes of a service over several hosts", "take it out; distributed.head and distributed.port say where they meet"
    chosen = transports.get(transport) if transport is not None else None
    if chosen is not None and name in _TRANSPORT and chosen.environment.get(name, value) != value:
        why = f"distributed.transport {transport} sets it to {shown(chosen.environment[name])}"
        return why, "take it out, or choose another transport"
    return None


@check()
def vllm_version_supports_multi_node(host: HostDraft) -> Iterator[PlanError]:
    """vLLM's own processes over several hosts came with the flag --nnodes."""
    for draft in host.services:
        if draft.service.distributed is None or draft.service.distributed.backend != MP:
            continue
        answer = host.flags.ask("flags", "--nnodes", draft.version)
        if answer.state == "not yet":
            why = f"vLLM runs over several hosts by itself since {answer.since}"
            fix = f"write backend: ray, or set vllm_version to {answer.since} or newer"
            yield PlanError(host.name, draft.label, "distributed.backend", MP, f"{why}, and this is {draft.version.text}", fix)


@check()
def transport_is_known(host: HostDraft) -> Iterator[PlanError]:
    """The network between the nodes is of a kind that there are settings for."""
    known = host.tables.transports
    for draft in host.services:
        wanted = draft.service.distributed.transport if draft.service.distributed is not None else None
        if wanted is not None and wanted not in known:
            fix = did_you_mean(wanted, known, f"write one of {', '.join(known)}, or leave it to NCCL")
            yield PlanError(host.name, draft.label, "distributed.transport", shown(wanted), "there are no settings for such a network", fix)


@check()
def node_ports_are_in_range(host: HostDraft) -> Iterator[PlanError]:
    """The ports that follow the one at which the nodes meet are ports."""
    for draft in host.services:
        distributed = draft.service.distributed
        if distributed is None:
            continue
        last = highest_port(distributed.backend, distributed.rendezvous_port)
        if last > 65535:
            what = f"the service takes the ports from {distributed.rendezvous_port} to {last}, and there are none beyond 65535"
            yield PlanError(host.name, draft.label, "distributed.port", str(distributed.rendezvous_port), what, "choose a lower one, best below 32768")


@check()
def ray_temp_dir_is_short(host: HostDraft) -> Iterator[PlanError]:
    """Ray's sockets lie below its temporary directory, and Linux takes 107 letters for the path of a socket."""
    for draft in host.services:
        distributed = draft.service.distributed
        if distributed is None or distributed.backend != RAY or draft.service.name is None:
            continue
        path = temp_dir(host, draft)
        if len(path) > LONGEST_TEMP_DIR:
            why = f"Ray's sockets would have longer paths than Linux takes: {path} is {len(path)} letters, and {LONGEST_TEMP_DIR} are left for it"
            fix = "give the service a shorter name, or set multi_node_ray_temp_dir to a shorter path"
            yield PlanError(host.name, draft.label, "multi_node_ray_temp_dir", host.settings.multi_node_ray_temp_dir, why, fix)


@check()
def ray_object_stores_fit(host: HostDraft) -> Iterator[PlanError]:
    """Ray's objects fit into the host's shared memory. Where they do not, Ray takes a folder on a disk for it and says so in a log alone."""
    stores = [draft for draft in host.services if draft.part is not None and draft.part.backend == RAY]
    mount = host.facts.mount_of("/dev/shm") if host.facts is not None else None
    wanted = host.settings.multi_node_ray_object_store_memory * len(stores)
    # Hosts of whose shared memory nothing is known have it on their root file system here.
    if not stores or mount is None or mount.mount != "/dev/shm" or wanted <= mount.size_bytes:
        return
    why = f"Ray of {', '.join(draft.label for draft in stores)} takes {wanted} bytes of shared memory, and /dev/shm has {mount.size_bytes}"
    fix = "set multi_node_ray_object_store_memory lower (vLLM keeps nothing large there), or give /dev/shm more (its size= when mounted, a container's shm_size)"
    labels = ", ".join(draft.label for draft in stores)
    yield PlanError(host.name, labels, "multi_node_ray_object_store_memory", str(host.settings.multi_node_ray_object_store_memory), why, fix)
