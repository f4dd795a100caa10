# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layout: the model divides by the parallel sizes, and its context length covers max_model_len."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator

from ..artifacts.draft_models import method_of
from ..errors import PlanError, shown
from ..models.parallel import Parallel, parallel_of, stages
from ..placement.draft import HostDraft, ServiceDraft
from ..placement.layout import BLOCKS, GROUPS, Misfit, expert_layouts, misfits, pipeline_layouts, tensor_sizes
from ..placement.sizing import estimate_inputs
from ..vllm import arguments as args
from ..vllm.argument_types import count
from ..vllm.platforms import numbers
from .base import check

_PARTITION = "VLLM_PP_LAYER_PARTITION"
_LONGER = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"


# From the first version on vLLM refines the block scales of routed experts (0.29.0, fused_moe/oracle/fp8.py). From the second version on it pads a
# rank's slice to whole blocks for the kernels in moe_backend that need blocks of 128.
_REFINES = (0, 29)
_PADS = (0, 32)
# Kernels that take any block size.
_ANY_BLOCK = ("auto", "triton")


@check()
def model_divides_by_parallel_sizes(host: HostDraft) -> Iterator[PlanError]:
    """Heads and layers divide evenly by the parallel sizes."""
    for draft, misfit in _misfits(host):
        if not misfit.about:
            yield _error(host, draft, misfit)


@check(accept="fp8-blocks")
def fp8_blocks_divide(host: HostDraft) -> Iterator[PlanError]:
    """Each rank's slice of weights in FP8 blocks has whole blocks, where vLLM does not refine their scales."""
    for draft, misfit in _misfits(host):
        if misfit.about == BLOCKS:
            yield _error(host, draft, misfit)


@check(accept="group-size")
def quantization_groups_divide(host: HostDraft) -> Iterator[PlanError]:
    """Each rank's slice of weights quantised in groups (AWQ, GPTQ, integers) has whole groups of columns that share a scale."""
    for draft, misfit in _misfits(host):
        if misfit.about == GROUPS:
            yield _error(host, draft, misfit)


def blocks_are_refined(host: HostDraft, draft: ServiceDraft) -> bool:
    """Whether vLLM refines the FP8 scales of routed experts here. Unknown GPUs are assumed to support it."""
    if draft.version.release[: len(_REFINES)] < _REFINES:
        return False
    used = set(draft.gpus or ())
    known = [numbers(gpu.compute_capability) for gpu in host.gpus or () if gpu.index in used and numbers(gpu.compute_capability)]
    if any(capability < host.tables.platforms.fp8_arithmetic for capability in known):
        return False
    pads = draft.version.release[: len(_PADS)] >= _PADS and draft.given.get("enable_lora") is not True and draft.given.get("enable_expert_parallel") is not True
    return pads or draft.given.get("moe_backend", "auto") in _ANY_BLOCK


def _misfits(host: HostDraft) -> Iterator[tuple[ServiceDraft, Misfit]]:
    """One misfit for each key: the fix is another size for that key, chosen from the sizes without misfits."""
    for draft in host.services:
        parallel = parallel_of(draft.arguments)
        if draft.entry is None or parallel is None:
            continue
        found = list(misfits(draft.entry.architecture, parallel, blocks_are_refined(host, draft)))
        for misfit in {each.key: each for each in reversed(found)}.values():
            yield draft, misfit


def _error(host: HostDraft, draft: ServiceDraft, misfit: Misfit) -> PlanError:
    return PlanError(host.name, draft.label, f"vllm_args.{misfit.key}", str(draft.arguments.get(misfit.key)), misfit.why, _fix(host, draft, misfit.key))


def _fix(host: HostDraft, draft: ServiceDraft, key: str) -> str:
    parallel = parallel_of(draft.arguments)
    if draft.entry is None or parallel is None:
        raise ValueError("a misfit needs a known model and known sizes")
    model, refines = draft.entry.architecture, blocks_are_refined(host, draft)
    if key == "pipeline_parallel_size":
        return f"write {model.num_layers} or less"
    if key == "decode_context_parallel_size":
        return "remove it, or choose a size that divides the copies"
    gpus = draft.gpu_count or parallel.world
    if draft.service.distributed is not None:
        # The fix uses all GPUs of all hosts and keeps tensor parallel inside a host.
        nodes = draft.service.distributed.nodes or 1
        counts = [count for count in draft.placement.gpus if count] if draft.placement is not None else []
        counts = counts if len(counts) == nodes else [gpus] * nodes
        layouts = pipeline_layouts(model, replace(parallel, pipeline=0), sum(counts), refines)
        inside = [sizes for sizes in layouts if all(count % sizes.tensor == 0 for count in counts)]
        return _describe(inside[0], parallel) if inside else "no parallel sizes use all GPUs of its hosts: choose fewer GPUs with gpus"
    # Layouts on all GPUs come first; fewer GPUs are the last resort.
    layouts = pipeline_layouts(model, parallel, gpus, refines)[:1]
    layouts += expert_layouts(model, parallel, refines)
    smaller = [parallel.with_tensor(size) for size in reversed(tensor_sizes(model, parallel, parallel.tensor, refines))]
    fixes = [_describe(sizes, parallel) for sizes in layouts if _fits_memory(host, draft, sizes)]
    # The largest tensor parallel size that divides is always offered, since it works on larger GPUs.
    fixes += [_describe(sizes, parallel) + ("" if _fits_memory(host, draft, sizes) else " (on larger GPUs)") for sizes in smaller[:1]]
    fixes += [_describe(sizes, parallel) for sizes in smaller[1:] if not fixes and _fits_memory(host, draft, sizes)]
    fixes += [f"{_describe(sizes, parallel)} (on larger GPUs)" for sizes in layouts if not _fits_memory(host, draft, sizes)]
    return "; or ".join(fixes) if fixes else "no tensor_parallel_size fits the other sizes: change those"


def _describe(sizes: Parallel, now: Parallel) -> str:
    """What to write to get these sizes."""
    pairs = [f"tensor_parallel_size: {sizes.tensor}"]
    pairs += [f"pipeline_parallel_size: {sizes.pipeline}"] if sizes.pipeline != now.pipeline else []
    pairs += [f"data_parallel_size: {sizes.data}"] if sizes.data != now.data else []
    if sizes.expert and not now.expert:
        return f"distribute whole experts with enable_expert_parallel: true, {', '.join(pairs)}"
    if sizes.pipeline != now.pipeline:
        return f"use all {sizes.world} GPUs with {' and '.join(pairs)}"
    return f"set tensor_parallel_size to {sizes.tensor}"


def _fits_memory(host: HostDraft, draft: ServiceDraft, sizes: Parallel) -> bool:
    """Whether the model fits into the GPUs' memory with these sizes, as far as known."""
    inputs = estimate_inputs(host, draft)
    found = inputs.estimate(parallel=sizes) if inputs else None
    return found is None or found.optimistic().kv_room > 0


@check()
def draft_model_has_the_same_tensor_parallel_size(host: HostDraft) -> Iterator[PlanError]:
    """A draft model has the served model's tensor parallel size, or 1 for methods without a full draft model (config/speculative.py of vLLM 0.32.0,
    _verify_and_get_draft_tp; v1/spec_decode/draft_model.py)."""
    for draft in host.services:
        named = args.member(draft.given, "speculative_config", "draft_tensor_parallel_size")
        parallel = parallel_of(draft.arguments)
        size = count(named)
        if size is None or parallel is None or size == parallel.tensor or (size == 1 and method_of(draft.given) != "draft_model"):
            continue
        why = f"the served model's tensor_parallel_size is {parallel.tensor}, and vLLM refuses another size for the draft model"
        fix = "remove it: the default is the served model's size"
        yield PlanError(host.name, draft.label, draft.where("speculative_config") + ".draft_tensor_parallel_size", shown(named), why, fix)


@check()
def layer_partition_is_valid(host: HostDraft) -> Iterator[PlanError]:
    """A custom pipeline partition has a number for each stage and covers all layers."""
    for draft in host.services:
        partition = draft.environment.get(_PARTITION)
        parallel = parallel_of(draft.arguments)
        layers = draft.entry.architecture.num_layers if draft.entry else None
        if partition is None or parallel is None or layers is None or stages(layers, parallel.pipeline, partition) is not None:
            continue
        why = f"the model has {layers} layers and pipeline_parallel_size is {parallel.pipeline}"
        fix = f"write {parallel.pipeline} numbers with the sum {layers}"
        yield PlanError(host.name, draft.label, f"environment.{_PARTITION}", shown(partition), why, fix)


@check()
def context_length_fits_the_model(host: HostDraft) -> Iterator[PlanError]:
    """max_model_len is within the model's positions, unless overrides extend them or an environment variable allows more."""
    for draft in host.services:
        most = draft.entry.architecture.max_position_embeddings if draft.entry else None
        wanted = count(draft.given.get("max_model_len"))
        if most is None or wanted is None or wanted <= most:
            continue
        stretched = any(key.partition(".")[0] in ("hf_overrides", "rope_scaling", "rope_theta", "hf_config_path") for key in draft.given)
        # The plan knows the names of variables in secret_environment, not their values.
        allowed = draft.environment.get(_LONGER, "0") == "1" or _LONGER in draft.service.secret_names
        if not stretched and not allowed:
            fix = f"write {most} or less; where the model card documents a longer context, set it with hf_overrides"
            why = f"the model supports {most} tokens, and vLLM refuses more"
            yield PlanError(host.name, draft.label, "vllm_args.max_model_len", shown(draft.given["max_model_len"]), why, fix)
