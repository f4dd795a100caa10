# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-node services: the key C(distributed), and the rank of each host."""

from __future__ import annotations

import re

from dataclasses import dataclass, replace
from typing import Any

from .. import sections, values
from ..errors import InvalidValue, PlanError

RAY = "ray"
MP = "mp"

# Default rendezvous ports: of Ray, for its global control service; of vLLM, its master port.
_PORTS = {RAY: 6379, MP: 29501}

_FEWEST = 2
_MOST = 64

# Valid names of network interfaces on Linux.
_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]{1,15}")
# IP addresses, not host names: vLLM needs an address there.
_ADDRESS = re.compile(r"[0-9.]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")


@dataclass(frozen=True)
class Distributed:
    """The key C(distributed) of a service. C(nodes) is None when invalid, C(head) and C(interface) are None where the plan chooses, and C(transport)
    where NCCL chooses."""

    nodes: int | None = None
    backend: str = RAY
    head: str | None = None
    interface: str | None = None
    port: int | None = None
    transport: str | None = None

    @property
    def rendezvous_port(self) -> int:
        """The port on the head at which the nodes find each other."""
        return self.port or _PORTS[self.backend]


@dataclass(frozen=True)
class Node:
    """A host of a multi-node service, and its address for the other nodes. C(interface) is empty when unknown."""

    host: str
    address: str
    interface: str


@dataclass(frozen=True)
class NodePlacement:
    """Where a multi-node service runs: all C(nodes) by rank, the head first, and this host's C(rank).

    - C(gpus): the number of GPUs of the service on each node, 0 when unknown
    - C(data_ranks): with data parallel over hosts the number of data parallel ranks of each node; empty for one copy of the model over all nodes
    - C(apis): whether each node has an API of its own (vLLM's hybrid load balancing), not the head alone
    """

    nodes: tuple[Node, ...]
    rank: int
    backend: str
    rendezvous_port: int
    gpus: tuple[int, ...] = ()
    data_ranks: tuple[int, ...] = ()
    apis: bool = False

    @property
    def is_head(self) -> bool:
        return self.rank == 0

    @property
    def head(self) -> Node:
        return self.nodes[0]

    @property
    def node(self) -> Node:
        return self.nodes[self.rank]

    @property
    def answers(self) -> bool:
        """Whether this node has an API."""
        return self.is_head or self.apis

    def arguments(self) -> dict[str, Any]:
        """Arguments of vLLM that differ by node. With Ray only the head runs vLLM's command, and Ray configures the workers."""
        if self.backend == RAY:
            return {}
        if self.data_ranks:
            return self._data_parallel_arguments()
        found: dict[str, Any] = {
            "nnodes": len(self.nodes),
            "node_rank": self.rank,
            "master_addr": self.head.address,
            "master_port": self.rendezvous_port,
        }
        return found if self.is_head else {**found, "headless": True}

    def _data_parallel_arguments(self) -> dict[str, Any]:
        """Those of data parallel over hosts. Each node starts its own ranks, which report to the head at C(rendezvous_port).

        A rank that starts with --data-parallel-start-rank and without --headless has an API (vLLM 0.32.0, engine/arg_utils.py, create_engine_config), so
        the head has that flag only where each node has an API.
        """
        found: dict[str, Any] = {
            "data_parallel_address": self.head.address,
            "data_parallel_rpc_port": self.rendezvous_port,
            "data_parallel_size_local": self.data_ranks[self.rank],
        }
        if not self.is_head or self.apis:
            found["data_parallel_start_rank"] = sum(self.data_ranks[: self.rank])
        return found if self.answers else {**found, "headless": True}

    def environment(self) -> dict[str, str]:
        """Environment variables that differ by node: its address and interface. Unknown ones are left to the programs."""
        found = {"VLLM_HOST_IP": self.node.address} if _ADDRESS.fullmatch(self.node.address) else {}
        if self.node.interface:
            found.update(GLOO_SOCKET_IFNAME=self.node.interface, NCCL_SOCKET_IFNAME=self.node.interface)
        return found

    def to_dict(self) -> dict[str, Any]:
        """The values for the roles."""
        return {
            "rank": self.rank,
            "role": "head" if self.is_head else "worker",
            "backend": self.backend,
            "address": self.node.address,
            "interface": self.node.interface,
            "head_address": self.head.address,
            "rendezvous_port": self.rendezvous_port,
            "nodes": [{"rank": rank, **vars(node)} for rank, node in enumerate(self.nodes)],
        }


def _backend(value: Any) -> str:
    if value not in (RAY, MP):
        raise InvalidValue("there is no such backend", "write ray, or mp for vLLM's own processes")
    return str(value)


def interface(value: Any) -> str:
    """The name of a network interface."""
    read = values.string(value)
    if not _INTERFACE.fullmatch(read):
        raise InvalidValue("this is not a valid name of a network interface", "write it as `ip address` shows it, like eth0")
    return read


def _nodes(value: Any) -> int:
    if value == 1 and value is not True:
        raise InvalidValue("a service on one host is not distributed", "remove distributed")
    return int(values.integer(_FEWEST, _MOST)(value))


_READERS: dict[str, values.Reader] = {
    "nodes": _nodes,
    "backend": _backend,
    "head": values.word,
    "interface": interface,
    "port": values.integer(1024, 65535),
    "transport": values.word,
}
KEYS: tuple[str, ...] = tuple(_READERS)


def read(host: str, service: str, raw: Any) -> tuple[Distributed, list[PlanError]]:
    """The key C(distributed) of a service. Invalid values are errors and left out."""
    found, errors = sections.read(host, "distributed", raw, _READERS, "distributed")
    reported = {error.key for error in errors}
    if "nodes" not in found and not reported & {"distributed", "distributed.nodes"}:
        errors.append(PlanError(host, "", "distributed.nodes", "", "the number of hosts is missing", "write it, like nodes: 2"))
    return Distributed(**found), [replace(error, service=service) for error in errors]
