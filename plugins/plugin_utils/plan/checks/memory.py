# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPU memory: the weights fit, with room for one request of the full context."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator, Union

from ..errors import PlanError, PlanWarning
from ..models.memory import BLOCK, GIB, Estimate
from ..models.parallel import Parallel
from ..placement.draft import HostDraft, ServiceDraft
from ..placement.layout import fits
from ..placement.sizing import EstimateInputs, context_of, estimate_inputs
from .base import check
from .layout import blocks_are_refined

Finding = Union[PlanError, PlanWarning]

# The shortest context that a fix offers, in tokens.
_USEFUL = 2048

# Sizes that a fix offers, and the usual number of GPUs of a host.
_SIZES = (1, 2, 4, 8, 16, 32)
_STAGES = (1, 2, 4)
_HOST = 8

# The largest gpu_memory_utilization that a fix offers: the rest is for the driver, other processes and what vLLM does not count.
_MOST = 0.95


@check(accept="memory")
def model_fits_gpu_memory(host: HostDraft) -> Iterator[Finding]:
    """The weights and one request of max_model_len tokens fit: otherwise vLLM exits after loading.

    It is an error when the model would not fit with half of the estimated reserve either, and a warning when it is that close.
    """
    for draft in host.services:
        inputs = estimate_inputs(host, draft)
        found = inputs.estimate() if inputs else None
        if inputs is None or found is None:
            continue
        tokens = context_of(draft) or BLOCK
        short = found.short_of(tokens)
        if short <= 0:
            continue
        if found.optimistic().short_of(tokens) > 0:
            key, value = _place(draft, found, tokens)
            fix = _fix(host, draft, inputs, found, tokens)
            yield PlanError(host.name, draft.label, key, value, _breakdown(inputs, found, tokens, short), fix)
        else:
            longest = found.longest()
            hint = f"; about {longest} tokens fit safely" if longest >= _USEFUL else ""
            yield PlanWarning(host.name, draft.label, f"its GPU memory may be too small: {_breakdown(inputs, found, tokens, short)}{hint}")


@check(accept="gpu-memory")
def gpu_memory_is_known(host: HostDraft) -> Iterator[PlanWarning]:
    """The memory of each GPU is known: a GPU that shares the host's memory does not report any, so the plan cannot check the model."""
    for draft in host.services:
        used = set(draft.gpus or ())
        for gpu in host.gpus or () if not draft.on_cpu and host.facts is not None else ():
            if gpu.index in used and gpu.name and not gpu.memory_bytes:
                tool = "amd-smi" if gpu.is_amd else "nvidia-smi"
                what = f"{tool} does not report the memory of GPU {gpu.index} ({gpu.name}), so the plan does not check whether the model fits"
                yield PlanWarning(host.name, draft.label, f"{what}; state it in plan_gpus: [{{index: {gpu.index}, memory_bytes: …}}]")
                break


def _place(draft: ServiceDraft, found: Estimate, tokens: int) -> tuple[str, str]:
    """The key to report: max_model_len when the context is too large, else the GPUs."""
    if found.optimistic().kv_room > 0:
        stated = "max_model_len" in draft.given
        return "vllm_args.max_model_len", str(tokens) if stated else f"{tokens} (the model's own)"
    return "gpus", "all" if draft.service.gpus is None else ", ".join(str(index) for index in draft.service.gpus)


def _breakdown(inputs: EstimateInputs, found: Estimate, tokens: int, short: int) -> str:
    """The parts of the estimate."""
    if found.kv_cache_bytes is not None:
        return f"one request of {tokens} tokens needs {gib(found.kv_of(tokens))} of KV cache on each GPU, and kv_cache_memory_bytes gives {gib(found.kv_room)}"
    share = f"vLLM may use {gib(found.budget)} of a GPU's {gib(found.total)} (gpu_memory_utilization {inputs.demand.utilization:g})"
    drafting = f" ({gib(found.drafter)} of it for the draft model {inputs.drafter.repo})" if inputs.drafter is not None and found.drafter else ""
    parts = f"the weights take {gib(found.weights)}{drafting}, and activations, CUDA graphs and buffers about {gib(found.reserve)}"
    if found.kv_room <= 0:
        return f"{share}; {parts}: {gib(-found.kv_room)} too much, without any KV cache"
    need = f"one request of {tokens} tokens needs {gib(found.kv_of(tokens))} of KV cache and {gib(found.kv_room)} are left: {gib(short)} too little"
    return f"{share}; {parts}; {need}"


def _fix(host: HostDraft, draft: ServiceDraft, inputs: EstimateInputs, found: Estimate, tokens: int) -> str:
    fixes = []
    longest = min(found.longest(), tokens)
    if longest >= _USEFUL:
        fixes.append(f"set max_model_len to {longest} or less")
    demand = inputs.demand
    if found.kv_cache_bytes is not None:
        return "; or ".join([*fixes, "leave kv_cache_memory_bytes out"])
    if demand.kv_dtype == "auto" and _fits(inputs.estimate(demand=replace(demand, kv_dtype="fp8")), tokens):
        fixes.append("halve the KV cache with kv_cache_dtype: fp8")
    if demand.utilization < _MOST and _fits(inputs.estimate(demand=replace(demand, utilization=_MOST)), tokens):
        fixes.append(f"set gpu_memory_utilization to {_MOST:g}")
    if inputs.drafter is not None and _fits(inputs.estimate(drafter=None), tokens):
        fixes.append(f"remove {', '.join(key for key in draft.given if key.startswith(('spec_', 'speculative_config')))}")
    refines = blocks_are_refined(host, draft)
    larger = _smallest(inputs, tokens, refines)
    if larger is not None:
        fixes.append(f"{'change the parallel sizes' if larger.world == inputs.parallel.world else f'use {larger.world} such GPUs'} ({larger.to_text()})")
    sibling = _sibling(host, draft, inputs, tokens)
    if sibling:
        fixes.append(sibling)
    if not fixes:
        smaller = _smallest(inputs, _USEFUL, refines)
        fixes.append(f"use {smaller.world} such GPUs ({smaller.to_text()}) and a shorter context" if smaller else "use more or larger GPUs")
    return "; or ".join(fixes)


def _smallest(inputs: EstimateInputs, tokens: int, refines: bool) -> Parallel | None:
    """The sizes on the fewest GPUs that fit, with no fewer GPUs than now: another split, more tensor parallel ranks or more pipeline stages."""
    now = inputs.parallel
    layouts = [replace(now, tensor=size, pipeline=stages, data=data) for size in _SIZES for stages in _STAGES for data in sorted({1, now.data})]
    # Within a host tensor parallel comes before pipeline stages; across hosts it is the reverse.
    for sizes in sorted(layouts, key=lambda sizes: (sizes.world, max(sizes.tensor, _HOST), sizes.pipeline, -sizes.tensor)):
        larger = sizes.world >= now.world and sizes.pipeline >= now.pipeline and sizes != now
        if larger and fits(inputs.model, sizes, refines) and _fits(inputs.estimate(parallel=sizes, partition=None), tokens):
            return sizes
    return None


def _sibling(host: HostDraft, draft: ServiceDraft, inputs: EstimateInputs, tokens: int) -> str:
    """The fix that serves the catalogue entry with a smaller type, where it fits; else empty."""
    name = draft.entry.quantised_sibling if draft.entry else ""
    entry = host.catalogue.entries.get(name)
    if entry is None or entry.unsupported or (host.is_amd and entry.architecture.quantization == "nvfp4"):
        return ""
    if not fits(entry.architecture, inputs.parallel, blocks_are_refined(host, draft)):
        return ""
    found = inputs.estimate(model=entry.architecture, disk=entry.bytes)
    if found is None or found.kv_room <= 0:
        return ""
    if found.short_of(tokens) <= 0:
        return f"serve {name}"
    longest = found.longest()
    return f"serve {name} with max_model_len {longest} or less" if longest >= _USEFUL else ""


def _fits(found: Estimate | None, tokens: int) -> bool:
    return found is not None and found.short_of(tokens) <= 0


def gib(count: int) -> str:
    """Bytes in GiB (2^30 bytes), with one decimal."""
    return f"{count / GIB:.1f} GiB"
