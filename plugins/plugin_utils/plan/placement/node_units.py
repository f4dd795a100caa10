# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units of a service on a host, and for a multi-node service the command that each of them supervises, its role and its ports.

With Ray the head has two units: C(ray-head-<service>), Ray's head node, whose supervisor is the leader, and C(vllm-<service>), the engine. Each worker
has C(ray-worker-<service>). With mp each node has C(vllm-<service>), and the head's supervisor is the leader.
"""

from __future__ import annotations

import hashlib
import json

from dataclasses import replace
from typing import Any, Iterable

from ..inputs.distributed import MP, RAY, NodePlacement
from ..inputs.services import Service
from ..programs import library
from .draft import HostDraft, ServiceDraft
from .service_unit import ServiceUnit, engine_flags, service_unit, single_unit

# Ports of a Ray cluster on its nodes, as offsets from the rendezvous port. They should be below Linux's ephemeral ports (32768).
_RAY_PORTS = {
    "rendezvous": 0, "supervisor": 1, "node_manager": 2, "object_manager": 3, "runtime_env_agent": 4, "dashboard": 5, "dashboard_agent_grpc": 6,
    "dashboard_agent": 7, "metrics": 8, "client": 9, "autoscaler_metrics": 10, "dashboard_metrics": 11,
}
_FIRST_WORKER_PORT = 16
# All ports of Ray on a node, with those of the workers: each rank and the engine use one.
RAY_BLOCK = 128
_MP_PORTS = {"rendezvous": 0, "supervisor": 1}
_HEAD_ALONE = frozenset({"rendezvous", "supervisor", "dashboard", "client", "autoscaler_metrics", "dashboard_metrics"})

# The longest path of a socket on Linux, minus what Ray appends to its temporary directory: /session_<date>_<time>_<us>_<pid>/sockets/plasma_store
# (see ray/_private/node.py).
LONGEST_TEMP_DIR = 107 - 64


def ports(placement: NodePlacement) -> dict[str, int]:
    """Ports of this host by their purpose, without those of Ray's worker processes."""
    offsets = _RAY_PORTS if placement.backend == RAY else _MP_PORTS
    return {name: placement.rendezvous_port + offset for name, offset in offsets.items() if placement.is_head or name not in _HEAD_ALONE}


# Ports that are open on the loopback address only.
_LOCAL = frozenset({"dashboard", "autoscaler_metrics", "dashboard_metrics"})


def open_ports(placement: NodePlacement) -> list[int]:
    """Ports at which the other nodes reach this host, without those of Ray's worker processes."""
    return sorted(port for name, port in ports(placement).items() if name not in _LOCAL)


def peers(placement: NodePlacement) -> list[dict[str, Any]]:
    """The other nodes with the ports at which they are reached, as the module C(multi_node_network) takes them."""
    return [
        {"host": node.host, "address": node.address, "ports": open_ports(replace(placement, rank=rank))}
        for rank, node in enumerate(placement.nodes) if rank != placement.rank
    ]


def worker_ports(placement: NodePlacement) -> range:
    """Ports that Ray's workers on this host listen on; none with mp."""
    return range(placement.rendezvous_port + _FIRST_WORKER_PORT, placement.rendezvous_port + RAY_BLOCK) if placement.backend == RAY else range(0)


def highest_port(backend: str, port: int) -> int:
    """The last of the ports that a service needs from its rendezvous port on."""
    return port + (RAY_BLOCK if backend == RAY else len(_MP_PORTS)) - 1


def unit_name(draft: ServiceDraft) -> str:
    """The main unit of a service on this host: the service is ready when it is active."""
    placement = draft.placement
    return f"ray-worker-{draft.service.name}.service" if placement is not None and placement.backend == RAY and not placement.is_head else draft.service.unit


def unit_names(draft: ServiceDraft) -> list[str]:
    """All units of a service on any of its hosts."""
    name = draft.service.name
    return [draft.service.unit, f"ray-head-{name}.service", f"ray-worker-{name}.service"] if draft.placement is not None else [draft.service.unit]


def temp_dir(host: HostDraft, draft: ServiceDraft) -> str:
    """Ray's directory for sockets and logs, with a short path."""
    return f"{host.settings.multi_node_ray_temp_dir}/{draft.service.name}"


def other_units(host: HostDraft, service: Service, present: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Former units of a service on a host, from another backend or another rank, and units that its removal deletes.

    :param present: units that it has now
    """
    settings = host.settings
    names = {
        f"vllm-{service.name}": str(service.name),
        f"ray-worker-{service.name}": f"{service.name}.ray-worker",
        f"ray-head-{service.name}": f"{service.name}.ray-head",
    }
    temp = [] if present else [f"{settings.multi_node_ray_temp_dir}/{service.name}"]
    return [
        {
            "unit": f"{unit}.service",
            "environment_file": f"{settings.host_config_dir}/{name}.env",
            "served": f"{settings.host_state_dir}/served/{name}.json",
            "folders": [f"{settings.host_state_dir}/failures/{unit}", *temp],
        }
        for unit, name in names.items()
        if f"{unit}.service" not in present
    ]


def units_of(host: HostDraft, draft: ServiceDraft, argv: list[str], local_url: str | None) -> list[ServiceUnit]:
    """The units of a service on this host, the main unit first."""
    placement = draft.placement
    if placement is None:
        return [single_unit(host, draft, argv, local_url)]
    if placement.backend == MP:
        return [_mp_unit(host, draft, placement, argv, local_url)]
    if not placement.is_head:
        return [_ray_unit(host, draft, placement, "worker")]
    return [_engine_unit(host, draft, placement, argv, local_url), _ray_unit(host, draft, placement, "head")]


def _mp_unit(host: HostDraft, draft: ServiceDraft, placement: NodePlacement, argv: list[str], local_url: str | None) -> ServiceUnit:
    flags = {"what": f"vLLM's rank {placement.rank}"}
    workers = _others(placement) if placement.is_head else []
    return _unit(
        host, draft, placement, draft.service.unit, str(draft.service.name), {**flags, **(engine_flags(host, draft, local_url) if placement.answers else {})},
        workers, argv, draft.environment, has_secrets=True, is_leader=placement.is_head,
    )


def _engine_unit(host: HostDraft, draft: ServiceDraft, placement: NodePlacement, argv: list[str], local_url: str | None) -> ServiceUnit:
    environment = {
        **draft.environment,
        **_ray_environment(draft, placement),
        "RAY_ADDRESS": _address(placement.head.address, placement.rendezvous_port),
        "VLLM_CONFIG_ROOT": f"{draft.cache}/config",
    }
    flags = {"name": "engine", "what": "the engine", **engine_flags(host, draft, local_url)}
    return _unit(host, draft, placement, draft.service.unit, str(draft.service.name), flags, [], argv, environment, has_secrets=True, is_leader=False)


def _ray_unit(host: HostDraft, draft: ServiceDraft, placement: NodePlacement, role: str) -> ServiceUnit:
    is_head = placement.is_head
    numbers = ports(placement)
    temp = temp_dir(host, draft)
    ready = "rendezvous" if is_head else "node_manager"
    flags = {
        "what": f"Ray's {role}",
        "ready_port": _address(placement.node.address, numbers[ready]),
        "clean": [temp, *(["/dev/shm"] if is_head else [])],
        "logs": [temp],
    }
    if is_head:
        gpus = ",".join(map(str, placement.gpus if len(set(placement.gpus)) > 1 else placement.gpus[:1]))
        check = [f"{draft.release.path}/bin/python", library(host.settings.host_install_dir), "supervisor.ray_nodes"]
        nodes = [f"{node.host}={node.address}" for node in placement.nodes]
        flags["check"] = [*check, _address(placement.head.address, placement.rendezvous_port), gpus, *nodes]
    workers = [*_others(placement), "engine"] if is_head else []
    return _unit(
        host, draft, placement, f"ray-{role}-{draft.service.name}.service", f"{draft.service.name}.ray-{role}", flags, workers,
        _ray_command(host, draft, placement), {**draft.environment, **_ray_environment(draft, placement)}, has_secrets=False, is_leader=is_head,
    )


def _ray_command(host: HostDraft, draft: ServiceDraft, placement: NodePlacement) -> list[str]:
    settings = host.settings
    numbers = ports(placement)
    workers = worker_ports(placement)
    temp = temp_dir(host, draft)
    joins = [f"--address={_address(placement.head.address, placement.rendezvous_port)}"]
    if placement.is_head:
        joins = ["--head", f"--port={placement.rendezvous_port}"]
    head = [
        f"--include-dashboard={'true' if settings.multi_node_ray_dashboard else 'false'}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={numbers['dashboard']}",
        # Ray opens this port if grpcio is installed, which is a dependency of vLLM.
        f"--ray-client-server-port={numbers['client']}",
    ] if placement.is_head else []
    return [
        f"{draft.release.path}/bin/ray", "start", *joins, "--block",
        f"--node-ip-address={placement.node.address}",
        f"--node-manager-port={numbers['node_manager']}",
        f"--object-manager-port={numbers['object_manager']}",
        f"--runtime-env-agent-port={numbers['runtime_env_agent']}",
        f"--dashboard-agent-grpc-port={numbers['dashboard_agent_grpc']}",
        f"--dashboard-agent-listen-port={numbers['dashboard_agent']}",
        f"--metrics-export-port={numbers['metrics']}",
        f"--min-worker-port={workers[0]}",
        f"--max-worker-port={workers[-1]}",
        *head,
        # Each rank requests a GPU and no CPU. Ray would start an idle process for each CPU.
        "--num-cpus=1",
        f"--num-gpus={draft.gpu_count}",
        f"--object-store-memory={settings.multi_node_ray_object_store_memory}",
        f"--temp-dir={temp}",
        f"--object-spilling-directory={temp}/spill",
        "--disable-usage-stats",
    ]


def _ray_environment(draft: ServiceDraft, placement: NodePlacement) -> dict[str, str]:
    found = {
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Otherwise Ray kills ranks when memory is low, and the service cannot run without all of its ranks.
        "RAY_memory_monitor_refresh_ms": "0",
        # By default Ray runs workers with niceness 15. Here the workers are the engine's ranks.
        "RAY_worker_niceness": "0",
        # The output goes to the journal, not to a terminal.
        "RAY_COLOR_PREFIX": "0",
        "AUTOSCALER_METRIC_PORT": str(placement.rendezvous_port + _RAY_PORTS["autoscaler_metrics"]),
        "DASHBOARD_METRIC_PORT": str(placement.rendezvous_port + _RAY_PORTS["dashboard_metrics"]),
    }
    # The engine and the ranks of a host communicate over sockets in this directory, since each unit has its own /tmp.
    return {**found, "VLLM_RPC_BASE_PATH": _rpc_dir(draft)}


def _rpc_dir(draft: ServiceDraft) -> str:
    return f"{draft.cache}/rpc"


def _unit(
    host: HostDraft, draft: ServiceDraft, placement: NodePlacement, unit: str, name: str, flags: dict[str, Any], workers: list[str], command: list[str],
    environment: dict[str, str], has_secrets: bool, is_leader: bool,
) -> ServiceUnit:
    settings = host.settings
    given = {
        "name": placement.node.host,
        "backend": placement.backend,
        "apis": "all" if placement.apis else "",
        "digest": digest(draft, placement),
        "port": placement.rendezvous_port + (_RAY_PORTS if placement.backend == RAY else _MP_PORTS)["supervisor"],
        **({"listen": placement.head.address} if is_leader else {"leader_address": placement.head.address, "leader_name": placement.head.host}),
        "worker": workers,
        "transport": draft.transport.expects if draft.transport is not None else "",
        "heartbeat_timeout": settings.multi_node_heartbeat_timeout,
        "join_timeout": settings.multi_node_join_timeout,
        **flags,
    }
    is_ray = placement.backend == RAY
    return service_unit(
        host, draft, unit, name, "leader" if is_leader else "worker", given, command, environment,
        ray_folder=temp_dir(host, draft) if is_ray else "",
        shared_memory=f"/dev/shm/inferops-{draft.service.name}" if is_ray and placement.is_head else "",
        has_secrets=has_secrets,
    )


def digest(draft: ServiceDraft, placement: NodePlacement) -> str:
    """A checksum of everything that has to be the same on all nodes of a service. The leader refuses a worker with another one. Environments may differ."""
    own = placement.arguments()
    alike = {
        "release": draft.release.name,
        "weights": draft.weights.name if draft.weights else "",
        "arguments": {key: value for key, value in draft.arguments.items() if key not in own},
        "nodes": [[node.host, node.address] for node in placement.nodes],
        "backend": placement.backend,
        "rendezvous_port": placement.rendezvous_port,
        "gpus": draft.gpu_count if len(set(placement.gpus)) == 1 else placement.gpus,
        # Not in the checksum of a service without it, which would restart when the collection is updated.
        **({"data_ranks": placement.data_ranks} if placement.data_ranks else {}),
    }
    return hashlib.sha256(json.dumps(alike, sort_keys=True).encode()).hexdigest()[:16]


def network_digest(placement: NodePlacement, transport: str) -> str:
    """A checksum of the settings that determine the connectivity between the nodes. It is the same on all nodes."""
    nodes = [[node.host, node.address, node.interface] for node in placement.nodes]
    return hashlib.sha256(json.dumps([nodes, placement.backend, placement.rendezvous_port, transport]).encode()).hexdigest()[:16]


def _others(placement: NodePlacement) -> list[str]:
    return [node.host for node in placement.nodes if node != placement.node]


def _address(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
