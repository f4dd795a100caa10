# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-node services, assembled from the hosts that define them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable

from ..inputs.addresses import reached_at
from ..inputs.distributed import Distributed, Node, Part
from .draft import HostDraft, ServiceDraft


@dataclass(frozen=True)
class Member:
    """A host of a multi-node service and the service's draft there."""

    host: HostDraft
    draft: ServiceDraft


@dataclass(frozen=True)
class Cluster:
    """A multi-node service, its members by rank."""

    name: str
    members: tuple[Member, ...]

    @property
    def head(self) -> Member:
        return self.members[0]

    @property
    def label(self) -> str:
        return self.head.draft.label

    @property
    def hosts(self) -> list[str]:
        return [member.host.name for member in self.members]

    @property
    def distributed(self) -> Distributed:
        """The head's settings. A check compares those of the other nodes."""
        return self.head.draft.service.distributed or Distributed()


def assemble(hosts: Iterable[HostDraft]) -> tuple[list[HostDraft], list[Cluster]]:
    """The hosts with their parts in multi-node services, and these services.

    The head of a service is the host in distributed.head, else the first of the inventory. The other hosts follow in the order of the inventory.
    """
    drafts = list(hosts)
    found: dict[str, list[Member]] = {}
    for host in drafts:
        here: set[str] = set()
        for draft in host.services:
            name = draft.service.name
            # Of two services with the same name on a host, which is an error, the first is used.
            if draft.is_distributed and name is not None and name not in here:
                here.add(name)
                found.setdefault(name, []).append(Member(host, draft))
    clusters = []
    parts: dict[tuple[str, str], Part] = {}
    for name, members in found.items():
        cluster = Cluster(name, tuple(_by_rank(members)))
        nodes = tuple(_node(member) for member in cluster.members)
        for rank, member in enumerate(cluster.members):
            parts[member.host.name, name] = Part(nodes, rank, cluster.distributed.backend, cluster.distributed.rendezvous_port)
        clusters.append(cluster)
    placed = {host.name: _with_parts(host, parts) for host in drafts}
    return list(placed.values()), [Cluster(cluster.name, tuple(_member(placed[name], cluster.name) for name in cluster.hosts)) for cluster in clusters]


def _by_rank(members: list[Member]) -> list[Member]:
    heads = [member.draft.service.distributed.head for member in members if member.draft.service.distributed is not None]
    named = next((head for head in heads if head is not None), None)
    return sorted(members, key=lambda member: member.host.name != named)


def _with_parts(host: HostDraft, parts: dict[tuple[str, str], Part]) -> HostDraft:
    services = []
    done: set[str] = set()
    for draft in host.services:
        name = draft.service.name
        if draft.is_distributed and name is not None and name not in done:
            done.add(name)
            services.append(draft.with_part(parts[host.name, name]))
        else:
            services.append(draft)
    return replace(host, services=tuple(services))


def _member(host: HostDraft, name: str) -> Member:
    return Member(host, next(draft for draft in host.services if draft.service.name == name and draft.part is not None))


def _node(member: Member) -> Node:
    """The address at which the other nodes reach this one."""
    host = member.host
    wanted = member.draft.service.distributed.interface if member.draft.service.distributed else None
    return Node(host.name, *reached_at(host.address, host.facts, wanted))
