# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-node services: checks that need one host only."""

from __future__ import annotations

from typing import Iterator, Mapping

from ..errors import HIDDEN, PlanError, did_you_mean, shown
from ..inputs.distributed import MP, RAY
from ..placement.draft import HostDraft, over_hosts
from ..placement.node_sizes import HYBRID
from ..placement.node_units import LONGEST_TEMP_DIR, highest_port, temp_dir
from ..vllm.transports import Transport
from .base import check

# Arguments that a multi-node service does not take, each with the reason and the fix.
_BACKEND = ("the plan sets this flag", "set distributed.backend instead")
_REFUSED: dict[str, tuple[str, str]] = {
    "distributed_executor_backend": _BACKEND,
    "data_parallel_rpc_port": ("the plan sets this flag", "set distributed.port instead"),
    "data_parallel_external_lb": (
        "the supervisors start and stop all ranks together, and clients need one API, or one on each host",
        "write data_parallel_hybrid_lb: true instead, for an API on each host, or remove it for one on the head",
    ),
    **{
        key: ("the plan sets this flag on each node from data_parallel_size and the GPUs of the hosts", "remove it: data_parallel_size is enough")
        for key in ("data_parallel_size_local", "data_parallel_address", "data_parallel_start_rank", "data_parallel_rank")
    },
}


@check()
def network_interface_exists(host: HostDraft) -> Iterator[PlanError]:
    """The network interface that a service names exists on the host and has an address."""
    if host.facts is None or not host.facts.interfaces:
        return
    there = host.facts.interfaces
    for draft in host.services:
        wanted = draft.service.distributed.interface if draft.service.distributed is not None else None
        if wanted is not None and wanted not in there:
            why = "the host has no network interface of this name with an address"
            fix = did_you_mean(wanted, there, f"choose among {', '.join(there)}; where hosts differ, set it as a host variable")
            yield PlanError(host.name, draft.label, "distributed.interface", shown(wanted), why, fix)


@check()
def arguments_support_multi_node(host: HostDraft) -> Iterator[PlanError]:
    """No argument conflicts with a multi-node service."""
    for draft in host.services:
        if not draft.is_distributed:
            continue
        for key, (why, fix) in _REFUSED.items():
            if key in draft.given and draft.given[key] is not False:
                yield PlanError(host.name, draft.label, f"vllm_args.{key}", shown(draft.given[key], key), why, fix)
        if draft.given.get("data_parallel_backend", MP) != MP:
            why = "each node starts its own ranks, with vLLM's own processes"
            yield PlanError(host.name, draft.label, "vllm_args.data_parallel_backend", shown(draft.given["data_parallel_backend"]), why, "remove it")
        if draft.given.get(HYBRID) is True and not over_hosts(draft.given):
            why = "it gives each host an API for its own data parallel ranks, and data_parallel_size is 1"
            fix = f"write data_parallel_size, the number of ranks on all hosts; or remove {HYBRID}"
            yield PlanError(host.name, draft.label, f"vllm_args.{HYBRID}", "true", why, fix)
        if draft.given.get("disable_log_stats"):
            why = "the supervisor of a multi-node service needs these statistics to tell a busy engine from a hanging one"
            yield PlanError(host.name, draft.label, "vllm_args.disable_log_stats", shown(draft.given["disable_log_stats"]), why, "leave disable_log_stats out")


# Variables that the plan sets on each node of a multi-node service. Addresses and interfaces differ from node to node.
_INTERFACE = "which may differ from host to host"
_NETWORK = ("VLLM_HOST_IP", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "TP_SOCKET_IFNAME")
_RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
# Variables that choose NCCL's network, which is the purpose of distributed.transport.
_TRANSPORT = ("NCCL_IB_DISABLE", "NCCL_NET", "NCCL_NET_PLUGIN")


@check()
def network_variables_are_not_set(host: HostDraft) -> Iterator[PlanError]:
    """The user does not set addresses and interfaces: one value for all nodes would make them use the head's address or another network than Ray."""
    for draft in host.services:
        if not draft.is_distributed or draft.service.distributed is None:
            continue
        distributed = draft.service.distributed
        hidden = dict.fromkeys(draft.service.secret_names, HIDDEN)
        layers = {"environment": draft.service.environment, "secret_environment": hidden, "model_service_environment": host.settings.model_service_environment}
        for key, layer in layers.items():
            for name, value in layer.items():
                finding = _owned(name, value, distributed.interface, distributed.transport, host.tables.transports)
                if finding is not None and value is not None:
                    yield PlanError(host.name, draft.label, f"{key}.{name}", shown(value, name), *finding)


def _owned(name: str, value: object, interface: str | None, transport: str | None, transports: Mapping[str, Transport]) -> tuple[str, str] | None:
    """Why the user may not set a variable on a multi-node service, and the fix; None when the user may."""
    if name in _NETWORK:
        why = "the plan sets it on each node of a multi-node service, so that all traffic between nodes uses one network"
        if interface:
            return why, f"remove it: distributed.interface {interface} sets it"
        return why, f"remove it, and name the network in distributed.interface, {_INTERFACE}"
    if name in _RENDEZVOUS:
        return "the plan sets it on the nodes of a multi-node service", "remove it, and use distributed.head and distributed.port"
    chosen = transports.get(transport) if transport is not None else None
    if chosen is not None and name in _TRANSPORT and chosen.environment.get(name, value) != value:
        why = f"distributed.transport {transport} sets it to {shown(chosen.environment[name])}"
        return why, "remove it, or choose another transport"
    return None


@check()
def vllm_version_supports_multi_node(host: HostDraft) -> Iterator[PlanError]:
    """The vLLM version supports the backend mp over several hosts, which needs the flag --nnodes, or with data parallel --data-parallel-start-rank."""
    for draft in host.services:
        if draft.service.distributed is None or draft.service.distributed.backend != MP:
            continue
        is_data = over_hosts(draft.given)
        answer = host.flags.ask("flags", "--data-parallel-start-rank" if is_data else "--nnodes", draft.version)
        if answer.state == "not yet":
            why = f"vLLM supports {'data parallel over ' if is_data else ''}several hosts with mp since {answer.since}"
            fix = f"{'' if is_data else 'write backend: ray, or '}set vllm_version to {answer.since} or newer"
            yield PlanError(host.name, draft.label, "distributed.backend", MP, f"{why}, and this is {draft.version.text}", fix)


@check()
def transport_is_known(host: HostDraft) -> Iterator[PlanError]:
    """The transport between the nodes is one with known settings."""
    known = host.tables.transports
    for draft in host.services:
        wanted = draft.service.distributed.transport if draft.service.distributed is not None else None
        if wanted is not None and wanted not in known:
            fix = did_you_mean(wanted, known, f"write one of {', '.join(known)}, or leave it out for NCCL's own choice")
            yield PlanError(host.name, draft.label, "distributed.transport", shown(wanted), "there is no such transport", fix)


@check()
def node_ports_are_in_range(host: HostDraft) -> Iterator[PlanError]:
    """All ports from distributed.port on are valid."""
    for draft in host.services:
        distributed = draft.service.distributed
        if distributed is None:
            continue
        last = highest_port(distributed.backend, distributed.rendezvous_port)
        if last > 65535:
            what = f"the service needs the ports from {distributed.rendezvous_port} to {last}, and the last port is 65535"
            yield PlanError(host.name, draft.label, "distributed.port", str(distributed.rendezvous_port), what, "choose a lower port, preferably below 32768")


@check()
def ray_temp_dir_is_short(host: HostDraft) -> Iterator[PlanError]:
    """Ray's temporary directory has a short path: it contains sockets, whose paths on Linux have at most 107 characters."""
    for draft in host.services:
        distributed = draft.service.distributed
        if distributed is None or distributed.backend != RAY or draft.service.name is None:
            continue
        path = temp_dir(host, draft)
        if len(path) > LONGEST_TEMP_DIR:
            why = f"the paths of Ray's sockets would be too long for Linux: {path} has {len(path)} characters, and the limit is {LONGEST_TEMP_DIR}"
            fix = "give the service a shorter name, or set multi_node_ray_temp_dir to a shorter path"
            yield PlanError(host.name, draft.label, "multi_node_ray_temp_dir", host.settings.multi_node_ray_temp_dir, why, fix)


@check()
def ray_object_stores_fit(host: HostDraft) -> Iterator[PlanError]:
    """Ray's object stores fit into the host's shared memory: otherwise Ray uses a directory on disk and reports it only in its log."""
    stores = [draft for draft in host.services if draft.placement is not None and draft.placement.backend == RAY]
    mount = host.facts.mount_of("/dev/shm") if host.facts is not None else None
    wanted = host.settings.multi_node_ray_object_store_memory * len(stores)
    # Without facts about /dev/shm its mount is the root file system.
    if not stores or mount is None or mount.mount != "/dev/shm" or wanted <= mount.size_bytes:
        return
    why = f"Ray of {', '.join(draft.label for draft in stores)} needs {wanted} bytes of shared memory, and /dev/shm has {mount.size_bytes}"
    fix = "lower multi_node_ray_object_store_memory (vLLM stores nothing large there), or enlarge /dev/shm (size= of its mount, a container's shm_size)"
    labels = ", ".join(draft.label for draft in stores)
    yield PlanError(host.name, labels, "multi_node_ray_object_store_memory", str(host.settings.multi_node_ray_object_store_memory), why, fix)
