# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a valid service is distributed over its GPUs: the layers of each pipeline stage, its hosts and its memory."""

from __future__ import annotations

from typing import Any, Sequence

from ..models.architecture import Architecture
from ..models.memory import Estimate, tightest
from ..models.parallel import Parallel, parallel_of, stages
from .draft import HostDraft, ServiceDraft
from .sizing import context_of, estimate_inputs

# Tensors that go from one pipeline stage to the next: hidden states and the residual.
_BETWEEN_STAGES = 2


def memory_document(host: HostDraft, draft: ServiceDraft) -> dict[str, Any] | None:
    """The memory estimate of the fullest of the service's GPUs on this host, sizes in bytes; None when too little is known."""
    inputs = estimate_inputs(host, draft)
    found = inputs.stage_estimates() if inputs else None
    if not found:
        return None
    whole = tightest(found)
    # The stages on this host.
    here = [stage for stage, hosts in zip(found, _hosts(host, draft, inputs.parallel)) if host.name in hosts] if inputs else []
    fullest = tightest(here or found)
    cache = _cache(fullest, whole)
    # Without facts about the cache only weights and reserve are known.
    tokens = min(context_of(draft) or 2**62, whole.longest()) if whole.cache_known else None
    return {
        "total": fullest.total,
        "used": fullest.weights + fullest.reserve + cache,
        "free": fullest.total - fullest.weights - fullest.reserve - cache,
        "weights": fullest.weights,
        "reserve": fullest.reserve,
        "kv_cache": cache,
        "kv_bytes_per_token": round(fullest.token + fullest.window_token) if whole.cache_known else None,
        "max_model_len": tokens,
        "concurrency": None if tokens is None else round(whole.concurrency(tokens) * inputs.parallel.data, 2) if inputs and tokens else 0.0,
    }


def stages_document(host: HostDraft, draft: ServiceDraft) -> dict[str, Any] | None:
    """The pipeline stages, the memory in bytes of one GPU of each, and the network traffic for each token; None without pipeline parallel."""
    parallel = parallel_of(draft.arguments)
    model = draft.entry.architecture if draft.entry else None
    if parallel is None or model is None or parallel.pipeline == 1:
        return None
    inputs = estimate_inputs(host, draft)
    layers = stages(model.num_layers, parallel.pipeline, draft.environment.get("VLLM_PP_LAYER_PARTITION")) if model.num_layers else None
    memory = inputs.stage_estimates() if inputs else None
    places = _hosts(host, draft, parallel)
    found = []
    for position, hosts in enumerate(places):
        stage: dict[str, Any] = {"hosts": hosts, "layers": layers[position] if layers else None}
        if memory:
            here = memory[position]
            stage["memory"] = {"weights": here.weights, "reserve": here.reserve, "kv_cache": _cache(here, tightest(memory))}
        found.append(stage)
    return {
        "tensor_parallel_size": parallel.tensor,
        "pipeline_parallel_size": parallel.pipeline,
        "stages": found,
        "network_bytes_per_token": _network_bytes(model, places),
    }


def _cache(stage: Estimate, whole: Estimate) -> int:
    """KV cache of a stage: as many tokens as in the stage with the least room, since each token is in the caches of all stages."""
    if not whole.cache_known:
        return max(0, stage.kv_room)
    tokens = max(0, whole.kv_room) / max(1.0, whole.token + whole.window_token)
    return int(min(max(0, stage.kv_room), tokens * (stage.token + stage.window_token)))


def _hosts(host: HostDraft, draft: ServiceDraft, parallel: Parallel) -> list[list[str]]:
    """The hosts of each stage. Ranks fill one host after the other; a stage has the ranks of tensor and prefill context parallel."""
    names = [node.host for node in draft.placement.nodes] if draft.placement is not None else [host.name]
    ranks = parallel.world // parallel.pipeline // parallel.data
    if draft.placement is not None and draft.placement.data_ranks:
        # Each host has whole data parallel ranks, with all of their stages.
        return [names] * parallel.pipeline
    counts = draft.placement.gpus if draft.placement is not None else ()
    if len(set(counts)) > 1 and all(counts):
        places = [name for name, count in zip(names, counts) for _gpu in range(count)]
        return [list(dict.fromkeys(places[position * ranks : (position + 1) * ranks])) or names[-1:] for position in range(parallel.pipeline)]
    each = draft.gpu_count or max(1, -(-parallel.pipeline * ranks // len(names)))
    return [names[position * ranks // each : ((position + 1) * ranks - 1) // each + 1] for position in range(parallel.pipeline)]


def _network_bytes(model: Architecture, places: Sequence[list[str]]) -> int | None:
    """Network traffic between hosts for each token in bytes, when each stage is within a host. None otherwise, or when unknown."""
    if not model.hidden_size or any(len(hosts) != 1 for hosts in places):
        return None
    steps = sum(before != after for before, after in zip(places, places[1:]))
    return steps * _BETWEEN_STAGES * model.hidden_size * (4 if model.dtype == "fp32" else 2)
