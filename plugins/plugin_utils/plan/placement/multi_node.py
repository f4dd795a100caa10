# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-node services, assembled from the hosts that define them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable

from ..inputs.addresses import reached_at
from ..inputs.distributed import Distributed, Node, NodePlacement
from . import node_sizes
from .draft import HostDraft, ServiceDraft


@dataclass(frozen=True)
class NodeDraft:
    """A host of a multi-node service and the service's draft there."""

    host: HostDraft
    draft: ServiceDraft


@dataclass(frozen=True)
class MultiNodeService:
    """A multi-node service, its nodes by rank."""

    name: str
    node_drafts: tuple[NodeDraft, ...]

    @property
    def head(self) -> NodeDraft:
        return self.node_drafts[0]

    @property
    def label(self) -> str:
        return self.head.draft.label

    @property
    def hosts(self) -> list[str]:
        return [node_draft.host.name for node_draft in self.node_drafts]

    @property
    def distributed(self) -> Distributed:
        """The head's settings. A check compares those of the other nodes."""
        return self.head.draft.service.distributed or Distributed()


def assemble(hosts: Iterable[HostDraft]) -> tuple[list[HostDraft], list[MultiNodeService]]:
    """The hosts with their placements in multi-node services, and these services.

    The head of a service is the host in distributed.head, else the first of the inventory. The other hosts follow in the order of the inventory.
    """
    drafts = list(hosts)
    found: dict[str, list[NodeDraft]] = {}
    for host in drafts:
        here: set[str] = set()
        for draft in host.services:
            name = draft.service.name
            # Of two services with the same name on a host, which is an error, the first is used.
            if draft.is_distributed and name is not None and name not in here:
                here.add(name)
                found.setdefault(name, []).append(NodeDraft(host, draft))
    services = []
    sizes: dict[str, dict[str, int]] = {}
    placements: dict[tuple[str, str], NodePlacement] = {}
    for name, node_drafts in found.items():
        service = MultiNodeService(name, tuple(_by_rank(node_drafts)))
        nodes = tuple(_node(node_draft) for node_draft in service.node_drafts)
        by_rank = [node_draft.draft for node_draft in service.node_drafts]
        copies, apis = node_sizes.data_ranks(by_rank), node_sizes.each_node_answers(by_rank)
        sizes[name] = node_sizes.sizes(by_rank)
        for rank, node_draft in enumerate(service.node_drafts):
            placements[node_draft.host.name, name] = NodePlacement(
                nodes, rank, service.distributed.backend, service.distributed.rendezvous_port, tuple(node_sizes.gpu_counts(by_rank)), copies, apis
            )
        services.append(service)
    placed = {host.name: _with_placements(host, placements, sizes) for host in drafts}
    return list(placed.values()), [_with_drafts(service, placed) for service in services]


def _with_drafts(service: MultiNodeService, placed: dict[str, HostDraft]) -> MultiNodeService:
    """The service with the drafts that know their placement."""
    return replace(service, node_drafts=tuple(_node_draft(placed[name], service.name) for name in service.hosts))


def _by_rank(node_drafts: list[NodeDraft]) -> list[NodeDraft]:
    heads = [node_draft.draft.service.distributed.head for node_draft in node_drafts if node_draft.draft.service.distributed is not None]
    named = next((head for head in heads if head is not None), None)
    return sorted(node_drafts, key=lambda node_draft: node_draft.host.name != named)


def _with_placements(host: HostDraft, placements: dict[tuple[str, str], NodePlacement], sizes: dict[str, dict[str, int]]) -> HostDraft:
    services = []
    done: set[str] = set()
    for draft in host.services:
        name = draft.service.name
        if draft.is_distributed and name is not None and name not in done:
            done.add(name)
            services.append(draft.with_placement(placements[host.name, name], sizes[name]))
        else:
            services.append(draft)
    return replace(host, services=tuple(services))


def _node_draft(host: HostDraft, name: str) -> NodeDraft:
    return NodeDraft(host, next(draft for draft in host.services if draft.service.name == name and draft.placement is not None))


def _node(node_draft: NodeDraft) -> Node:
    """The address at which the other nodes reach this one."""
    host = node_draft.host
    wanted = node_draft.draft.service.distributed.interface if node_draft.draft.service.distributed else None
    return Node(host.name, *reached_at(host.address, host.facts, wanted))
