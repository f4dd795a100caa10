# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prefill and decode apart: each service with C(disaggregation) knows the hosts of its counterpart, and the address and ports of its own side channel.

A decode service reads the KV cache of a request from the prefill service that made it (vLLM's NixlConnector). It asks for its place on the prefill
service's side channel, one port for each data parallel rank (vLLM 0.32.0, kv_connector/v1/nixl/base_scheduler.py). NIXL then connects both over UCX, on any
free port or over RDMA.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, Sequence

from ..inputs.addresses import reached_at
from ..vllm import arguments as args
from .draft import DATA, HostDraft, ServiceDraft

HOST, PORT = "VLLM_NIXL_SIDE_CHANNEL_HOST", "VLLM_NIXL_SIDE_CHANNEL_PORT"


@dataclass(frozen=True)
class Counterpart:
    """A host of the other service of a pair, the address at which it is reached, and the service's draft there."""

    host: str
    address: str
    draft: ServiceDraft


def paired(hosts: Iterable[HostDraft]) -> list[HostDraft]:
    """The hosts with the counterparts and the side channel of their services."""
    drafts = list(hosts)
    if not any(draft.service.disaggregation is not None for host in drafts for draft in host.services):
        return drafts
    places: dict[str, list[Counterpart]] = {}
    for host in drafts:
        for draft in host.services:
            places.setdefault(str(draft.service.name), []).append(Counterpart(host.name, _address(host, draft), draft))
    return [replace(host, services=tuple(_with_channel(host, draft, places) for draft in host.services)) for host in drafts]


def _with_channel(host: HostDraft, draft: ServiceDraft, places: dict[str, list[Counterpart]]) -> ServiceDraft:
    wanted = draft.service.disaggregation
    if wanted is None:
        return draft
    environment = {HOST: _address(host, draft), PORT: str(wanted.port), **draft.environment}
    others = tuple(place for place in places.get(wanted.peers or "", ()) if place.draft.service.name != draft.service.name)
    return replace(draft, counterparts=others, environment=dict(sorted(environment.items())))


def _address(host: HostDraft, draft: ServiceDraft) -> str:
    """The address at which other hosts reach the service: that of its network between nodes, if it has one."""
    if draft.placement is not None:
        return draft.placement.node.address
    return reached_at(host.address, host.facts)[0]


def side_channel(draft: ServiceDraft) -> Sequence[int]:
    """Ports of the side channel on this host: one for each of its data parallel ranks, counted over all hosts. None without C(disaggregation)."""
    wanted = draft.service.disaggregation
    if wanted is None:
        return ()
    placement = draft.placement
    if placement is not None and placement.data_ranks:
        first = wanted.port + sum(placement.data_ranks[: placement.rank])
        return range(first, first + placement.data_ranks[placement.rank])
    if placement is not None and not placement.is_head:
        return ()
    return range(wanted.port, wanted.port + (args.size(draft.given, DATA) or 1))
