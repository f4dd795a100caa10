# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the ranks of a multi-node service are distributed over its nodes, as far as that follows from the GPUs of all nodes together.

Data parallel over hosts: each data parallel rank, a copy of the model's attention with a share of its experts, is within one node. A node with more GPUs has
more ranks, since vLLM starts as many on each node as --data-parallel-size-local says.

Pipeline parallel with Ray: each stage is within one node, and a node with more GPUs has more stages.
"""

from __future__ import annotations

import math

from typing import Sequence

from ..inputs.distributed import MP, RAY
from ..vllm import arguments as args
from .draft import DATA, ServiceDraft, over_hosts

HYBRID = "data_parallel_hybrid_lb"
_TENSOR, _PIPELINE, _PREFILL = "tensor_parallel_size", "pipeline_parallel_size", "prefill_context_parallel_size"


def gpu_counts(drafts: Sequence[ServiceDraft]) -> list[int]:
    """The number of GPUs of the service on each node; 0 when unknown."""
    return [draft.gpu_count for draft in drafts]


def are_uneven(drafts: Sequence[ServiceDraft]) -> bool:
    """Whether the nodes are known to have different numbers of GPUs."""
    counts = gpu_counts(drafts)
    return all(counts) and len(set(counts)) > 1


def data_ranks(drafts: Sequence[ServiceDraft]) -> tuple[int, ...]:
    """The data parallel ranks of each node, the head first; empty without data parallel over hosts. What does not divide is rounded down, which a check
    reports."""
    distributed = drafts[0].service.distributed
    if distributed is None or distributed.backend != MP or not over_hosts(drafts[0].given):
        return ()
    size = args.size(drafts[0].given, DATA) or 1
    counts = gpu_counts(drafts)
    if are_uneven(drafts):
        return tuple(max(1, count * size // sum(counts)) for count in counts)
    return tuple(max(1, size // len(drafts)) for _draft in drafts)


def each_node_answers(drafts: Sequence[ServiceDraft]) -> bool:
    """Whether each node has an API, which balances the load over its own ranks."""
    return bool(data_ranks(drafts)) and drafts[0].given.get(HYBRID) is True


def sizes(drafts: Sequence[ServiceDraft]) -> dict[str, int]:
    """The parallel sizes that the user leaves out, where the nodes have different numbers of GPUs; empty otherwise, since each node then knows them."""
    distributed, given = drafts[0].service.distributed, drafts[0].given
    if distributed is None or not are_uneven(drafts):
        return {}
    counts = gpu_counts(drafts)
    total, prefill = sum(counts), args.size(given, _PREFILL) or 1
    if over_hosts(given):
        rank, left = divmod(total, args.size(given, DATA) or 1)
        if left or any(count % rank for count in counts):
            # A check reports it, and this size would be another error.
            return {}
        found = {_TENSOR: rank // (prefill * (args.size(given, _PIPELINE) or 1))}
    elif distributed.backend != RAY:
        return {}
    elif _PIPELINE in given:
        found = {_TENSOR: total // (prefill * (args.size(given, _PIPELINE) or 1))}
    else:
        tensor = args.size(given, _TENSOR) if _TENSOR in given else math.gcd(*counts) // prefill
        found = {_TENSOR: tensor or 1, _PIPELINE: total // (prefill * (tensor or 1))}
    return {key: max(1, size) for key, size in found.items() if key not in given}
