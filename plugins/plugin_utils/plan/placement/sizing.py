# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory estimate of a service from its arguments and its host's GPUs, for the checks and the resolved plan."""

from __future__ import annotations

import json

from dataclasses import dataclass
from typing import Any

from ..inputs.facts import Gpu
from ..models.architecture import Architecture
from ..models.memory import GIB, Demand, Drafter, Estimate, estimate, estimates
from ..models.parallel import Parallel, parallel_of
from ..versions import Version
from ..vllm.argument_types import count
from ..vllm.engines import VLLM
from .draft import HostDraft, ServiceDraft

# Defaults of gpu_memory_utilization: it was raised when vLLM began to count CUDA graphs (config/cache.py of 0.32.0).
_UTILIZATION = 0.92
_OLDER_UTILIZATION = 0.9

# From this version on vLLM counts CUDA graphs in its share of the memory; 0.18 announces it in its log.
_GRAPHS_COUNT = (0, 19)
# From this version on it counts the tokens of all batches that run in layers with a window.
_BATCHES_COUNT = (0, 26)

_ENCODINGS_OF_FALSE = ("", "0")


@dataclass(frozen=True)
class EstimateInputs:
    """Inputs of a service's memory estimate. C(total) is the memory of its smallest GPU in bytes and C(gpu) that GPU's name; C(totals) is the memory of a GPU
    of each pipeline stage where the nodes have different GPUs, and then C(total) and C(gpu) are of the head."""

    model: Architecture
    parallel: Parallel
    demand: Demand
    total: int
    gpu: str
    disk: int | None
    partition: str | None
    drafter: Drafter | None = None
    totals: tuple[int, ...] = ()

    def estimate(self, **changes: Any) -> Estimate | None:
        """The estimate, with some inputs replaced: another model, other sizes."""
        parts = {**vars(self), **changes}
        return estimate(**parts)

    def stage_estimates(self) -> list[Estimate] | None:
        """The estimates of each pipeline stage."""
        return estimates(**vars(self))


def estimate_inputs(host: HostDraft, draft: ServiceDraft) -> EstimateInputs | None:
    """The inputs of the estimate. None where the model, its parallel sizes or the GPUs' memory are unknown, for CPU builds, and for other engines."""
    if draft.engine != VLLM or (draft.service.distributed is not None and draft.service.distributed.nodes is None):
        return None
    parallel = parallel_of(draft.arguments)
    demand = _demand(draft)
    smallest = draft.stage_gpus[0] if draft.stage_gpus else smallest_gpu(host, draft)
    if draft.entry is None or parallel is None or demand is None or smallest is None or draft.version.is_cpu_build:
        return None
    totals = tuple(gpu.memory_bytes for gpu in draft.stage_gpus)
    disk = draft.weights.bytes if draft.weights else None
    partition = draft.environment.get("VLLM_PP_LAYER_PARTITION")
    return EstimateInputs(draft.entry.architecture, parallel, demand, smallest.memory_bytes, smallest.name, disk, partition, draft.drafter, totals)


def smallest_gpu(host: HostDraft, draft: ServiceDraft) -> Gpu | None:
    """The GPU of the service on this host with the least memory; None when no memory is known."""
    used = set(draft.gpus or ())
    return min((gpu for gpu in host.gpus or () if gpu.index in used and gpu.memory_bytes > 0), key=lambda gpu: gpu.memory_bytes, default=None)


def context_of(draft: ServiceDraft) -> int | None:
    """Tokens of the longest request: max_model_len, else the model's own context length. None for auto or when unknown."""
    given = draft.given.get("max_model_len")
    if given is None:
        return draft.entry.architecture.max_position_embeddings if draft.entry else None
    tokens = count(given)
    return tokens if tokens is not None and tokens > 0 else None


def utilization_of(draft: ServiceDraft) -> float | None:
    """gpu_memory_utilization with the default of the service's version; None when it is not above 0 and at most 1."""
    default = _UTILIZATION if _at_least(draft.version, _GRAPHS_COUNT) else _OLDER_UTILIZATION
    try:
        read = float(draft.given.get("gpu_memory_utilization", default))
    except (TypeError, ValueError, OverflowError):
        return None
    return read if 0 < read <= 1 else None


def _demand(draft: ServiceDraft) -> Demand | None:
    utilization = utilization_of(draft)
    if utilization is None:
        return None
    given = draft.given
    counted = _at_least(draft.version, _GRAPHS_COUNT) and draft.environment.get("VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS", "1") not in _ENCODINGS_OF_FALSE
    return Demand(
        max_model_len=context_of(draft),
        utilization=utilization,
        kv_dtype=str(given.get("kv_cache_dtype", "auto")),
        kv_cache_bytes=_positive(given.get("kv_cache_memory_bytes")),
        max_num_batched_tokens=_positive(given.get("max_num_batched_tokens")),
        max_num_seqs=_positive(given.get("max_num_seqs")),
        graphs=given.get("enforce_eager") is not True,
        graphs_count=counted,
        online_fp8=given.get("quantization") == "fp8",
        offload=_offload(given.get("cpu_offload_gb")),
        speculates=_speculates(given),
        windows=given.get("disable_hybrid_kv_cache_manager") is not True,
        batches=_batches(draft),
    )


def _batches(draft: ServiceDraft) -> int:
    """Batches that run at the same time: one for each pipeline stage, and one more with asynchronous scheduling, which is the default
    (config/vllm.py, max_concurrent_batches and max_in_flight_tokens). Before, one was counted whatever ran. With several stages vLLM turns it off for some
    models and arguments: one too many there is on the careful side."""
    parallel = parallel_of(draft.arguments)
    if parallel is None or not _at_least(draft.version, _BATCHES_COUNT):
        return 1
    return parallel.pipeline + (draft.given.get("async_scheduling") is not False)


def _at_least(version: Version, release: tuple[int, ...]) -> bool:
    return version.release[: len(release)] >= release


def _positive(value: Any) -> int | None:
    read = count(value)
    return read if read is not None and 0 < read < 2**60 else None


def _offload(value: Any) -> int:
    """cpu_offload_gb: GiB of each GPU's weights, in bytes."""
    try:
        read = float(value or 0)
    except (TypeError, ValueError, OverflowError):
        return 0
    return int(read * GIB) if 0 < read < 2**20 else 0


def _speculates(given: dict[str, Any]) -> bool:
    """Whether vLLM loads the model's own layers for speculative decoding."""
    config = given.get("speculative_config")
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except (ValueError, RecursionError):
            return False
    method = config.get("method") if isinstance(config, dict) else None
    named = (method, given.get("speculative_config.method"), given.get("spec_method"))
    return any(isinstance(name, str) and name.endswith("mtp") for name in named)
