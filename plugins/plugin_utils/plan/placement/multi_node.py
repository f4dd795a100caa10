# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-node services, assembled from the hosts that define them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable

from ..inputs.addresses import reached_at
from ..inputs.distributed import Distributed, Node, NodePlacement
from ..models.memory import BLOCK
from ..models.parallel import parallel_of, stages
from . import layer_partition, node_sizes
from .draft import HostDraft, ServiceDraft
from .node_sizes import are_uneven
from .sizing import EstimateInputs, context_of, estimate_inputs, smallest_gpu


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
        data_ranks, apis = node_sizes.data_ranks(by_rank), node_sizes.each_node_answers(by_rank)
        sizes[name] = node_sizes.sizes(by_rank)
        for rank, node_draft in enumerate(service.node_drafts):
            placements[node_draft.host.name, name] = NodePlacement(
                nodes, rank, service.distributed.backend, service.distributed.rendezvous_port, tuple(node_sizes.gpu_counts(by_rank)), data_ranks, apis
            )
        services.append(service)
    placed = {host.name: _with_placements(host, placements, sizes) for host in drafts}
    for service in services:
        for host in _with_stages(_with_drafts(service, placed)):
            placed[host.name] = host
    return list(placed.values()), [_with_drafts(service, placed) for service in services]


def _with_stages(service: MultiNodeService) -> list[HostDraft]:
    """The hosts whose drafts of the service change because its nodes have different GPUs: they know the GPU of each stage, and stages on larger GPUs get
    more layers, unless the user has set the numbers. Nodes with as many GPUs each keep vLLM's own stages where these fit: another number of layers restarts
    the service."""
    head = service.head.draft
    parallel = parallel_of(head.arguments)
    if head.placement is None or parallel is None:
        return []
    gpus = layer_partition.stage_gpus(head.placement, [smallest_gpu(node.host, node.draft) for node in service.node_drafts], parallel)
    if not gpus:
        return []
    inputs = estimate_inputs(service.head.host, replace(head, stage_gpus=gpus))
    layers = stages(inputs.model.num_layers, parallel.pipeline) if inputs is not None and inputs.model.num_layers else None
    added = None
    if inputs is not None and layers is not None and layer_partition.VARIABLE not in {*head.environment, *head.service.secret_names}:
        added = layer_partition.partition(layers, lambda parts: replace(inputs, partition=parts).stage_estimates())
        if added is not None and not are_uneven([node.draft for node in service.node_drafts]) and not _is_needed(service, inputs, added):
            added = None
    changed = []
    for node in service.node_drafts:
        environment = {**node.draft.environment, **({layer_partition.VARIABLE: added} if added is not None else {})}
        draft = replace(node.draft, stage_gpus=gpus, environment=dict(sorted(environment.items())))
        changed.append(replace(node.host, services=tuple(draft if other is node.draft else other for other in node.host.services)))
    return changed


def _is_needed(service: MultiNodeService, inputs: EstimateInputs, added: str) -> bool:
    """Whether stages of these layers fit, and vLLM's own are an error of the memory check that nobody accepts."""
    tokens = context_of(service.head.draft) or BLOCK
    own, better = (replace(inputs, partition=layers).stage_estimates() or [] for layers in (None, added))
    is_short = [any(stage.optimistic().short_of(tokens) > 0 for stage in found) for found in (own, better)]
    return is_short == [True, False] and not any("memory" in node.host.accepted for node in service.node_drafts)


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
