# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data parallel over hosts: the ranks fill the nodes of the service, and its backend, network and model can do it."""

from __future__ import annotations

from typing import Iterator, Union

from ..errors import PlanError, PlanWarning, shown
from ..inputs.distributed import RAY
from ..inputs.run import Run
from ..placement.draft import DATA, RANK_SIZES, HostDraft, ServiceDraft, over_hosts
from ..placement.multi_node import MultiNodeService
from ..placement.node_sizes import HYBRID, gpu_counts
from ..vllm import arguments as args
from .base import check, multi_node_check

Finding = Union[PlanError, PlanWarning]

_COPIES = "define a service on one host for each of them, and balance the load over these copies"


@multi_node_check
def data_parallel_over_hosts_uses_mp(service: MultiNodeService, run: Run) -> Iterator[PlanError]:
    """Data parallel over hosts runs on vLLM's own processes. Ray would place ranks where it likes, and the units of its workers have no arguments."""
    draft = service.head.draft
    if over_hosts(draft.given) and service.distributed.backend == RAY:
        why = f"{DATA} {args.size(draft.given, DATA)} distributes ranks over the hosts, which vLLM's own launcher does"
        fix = f"write distributed.backend: mp; or remove {DATA} for one copy of the model over all hosts"
        yield PlanError(service.head.host.name, service.label, "distributed.backend", RAY, why, fix)


@multi_node_check
def data_parallel_ranks_fill_the_nodes(service: MultiNodeService, run: Run) -> Iterator[PlanError]:
    """Each node has whole data parallel ranks, all ranks are on a node, and they use all GPUs of the nodes."""
    draft = service.head.draft
    placement = draft.placement
    if placement is None or not placement.data_ranks:
        return
    drafts = [node.draft for node in service.node_drafts]
    size = args.size(draft.given, DATA) or 1
    counts = gpu_counts(drafts)
    rank = _gpus_of_a_rank(draft)
    if rank is None:
        return
    if sum(placement.data_ranks) != size:
        key, why = f"vllm_args.{DATA}", f"{size} ranks cannot be distributed over {_there(service, counts)}: each host runs whole ranks"
        yield PlanError(service.head.host.name, service.label, key, str(size), why, _fix(service, counts, size))
        return
    unfilled = [
        f"{node.host.name} has {have} for {ranks} of them"
        for node, have, ranks in zip(service.node_drafts, counts, placement.data_ranks) if have and have != rank * ranks
    ]
    if unfilled:
        why = f"a data parallel rank has {_rank_sizes(draft)}, {rank} GPU{'' if rank == 1 else 's'}, and {', '.join(unfilled)}"
        yield PlanError(service.head.host.name, service.label, "gpus", ", ".join(map(str, counts)), why, _fix(service, counts, size))


def _gpus_of_a_rank(draft: ServiceDraft) -> int | None:
    """GPUs of one data parallel rank; None when a size is not a positive integer, which another check reports."""
    product = 1
    for key in RANK_SIZES:
        product *= args.size(draft.arguments, key) or 0
    return product or None


def _rank_sizes(draft: ServiceDraft) -> str:
    sizes = {key: args.size(draft.arguments, key) for key in RANK_SIZES}
    return " x ".join(f"{key} {size}" for key, size in sizes.items() if size != 1 or key == RANK_SIZES[0])


def _there(service: MultiNodeService, counts: list[int]) -> str:
    if len(set(counts)) == 1:
        return f"{len(counts)} hosts" + (f" with {counts[0]} GPUs each" if counts[0] else "")
    return "hosts with " + " and ".join(f"{count or 'an unknown number of'} GPUs" for count in counts)


def _fix(service: MultiNodeService, counts: list[int], size: int) -> str:
    """Numbers of ranks that fill the nodes with ranks of one size, the nearest first."""
    if not all(counts):
        nodes = len(counts)
        return f"write a multiple of {nodes}, like {max(1, round(size / nodes)) * nodes}"
    total = sum(counts)
    whole = [each for each in range(1, min(counts) + 1) if all(count % each == 0 for count in counts)]
    sizes = sorted((total // each for each in whole), key=lambda found: abs(found - size))
    first = sizes[0]
    rest = "" if len(sizes) == 1 else f" (or {', '.join(map(str, sorted(sizes[1:])))})"
    return f"write {DATA}: {first}{rest} and leave tensor_parallel_size out, for {total // first} GPU{'' if total == first else 's'} a rank; or change gpus"


@multi_node_check
def data_parallel_nodes_have_ipv4(service: MultiNodeService, run: Run) -> Iterator[PlanError]:
    """Nodes with data parallel ranks have IPv4: rank 0 of vLLM 0.32.0 meets the others on an IPv4 socket (config/parallel.py, _pick_stateless_dp_port)."""
    placement = service.head.draft.placement
    for node in placement.nodes if placement is not None and placement.data_ranks else ():
        if ":" in node.address:
            why = f"the other nodes reach it over IPv6 ({node.address}), and data parallel ranks of vLLM meet over IPv4 only"
            fix = f"name an interface with IPv4 in distributed.interface, or an IPv4 address in ansible_host; or remove {DATA}"
            yield PlanError(node.host, service.label, f"vllm_args.{DATA}", shown(service.head.draft.given.get(DATA)), why, fix)


@multi_node_check
def data_parallel_over_hosts_needs_experts(service: MultiNodeService, run: Run) -> Iterator[Finding]:
    """Ranks of a model without experts have nothing in common: each is a whole copy, and the end of one would restart all."""
    draft = service.head.draft
    placement = draft.placement
    model = draft.entry.architecture if draft.entry is not None else None
    if placement is None or not placement.data_ranks or model is None or not model.num_layers or model.is_moe:
        return
    where = service.head.host.name
    if placement.apis and 1 in placement.data_ranks:
        why = "the model has no experts, and vLLM refuses one rank with an API on a host for such a model (external load balancing)"
        yield PlanError(where, service.label, f"vllm_args.{HYBRID}", "true", why, f"remove {HYBRID}; or remove distributed and {_COPIES}")
        return
    what = "the model has no experts, so its data parallel ranks are independent copies, and a failure on one host restarts all of them"
    yield PlanWarning(where, service.label, f"{what}; without distributed, {_COPIES}")


@check()
def expert_parallel_needs_experts(host: HostDraft) -> Iterator[PlanError]:
    """Only a model with experts has expert parallel (vLLM 0.32.0, config/model.py, _verify_with_expert_parallelism)."""
    for draft in host.services:
        model = draft.entry.architecture if draft.entry is not None else None
        if draft.given.get("enable_expert_parallel") is True and model is not None and model.num_layers and not model.is_moe:
            where = draft.where("enable_expert_parallel")
            yield PlanError(host.name, draft.label, where, "true", "the model has no experts, and vLLM refuses it", "remove enable_expert_parallel")
