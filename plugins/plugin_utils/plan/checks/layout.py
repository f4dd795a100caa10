# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Divisibility: the model can be cut as the parallel sizes ask, and is as long as the context."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator

from ..artifacts.draft_models import method_of
from ..errors import PlanError, shown
from ..models.parallel import Parallel, parallel_of, stages
from ..placement.draft import HostDraft, ServiceDraft
from ..placement.layout import BLOCKS, GROUPS, Misfit, expert_ways, misfits, pipeline_ways, tensor_sizes
from ..placement.sizing import question_of
from ..vllm import arguments as args
from ..vllm.argument_types import count
from ..vllm.platforms import numbers
from .base import check

_PARTITION = "VLLM_PP_LAYER_PARTITION"
_LONGER = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"


# From this version on vLLM refines the block scales of routed experts (0.29.0, fused_moe/oracle/fp8.py), and from the second one on it pads a
# rank's slice to whole blocks for those kernels, named in moe_backend, that take blocks of 128 alone.
_REFINES = (0, 29)
_PADS = (0, 32)
# Kernels that take any block: a name that leads to others keeps the scales as they are.
_ANY_BLOCK = ("auto", "triton")


@check()
def model_divides_by_parallel_sizes(host: HostDraft) -> Iterator[PlanError]:
    """Heads and layers go evenly into the parallel sizes."""
    for draft, misfit in _misfits(host):
        if not misfit.about:
            yield _error(host, draft, misfit)


@check(accept="fp8-blocks")
def fp8_blocks_divide(host: HostDraft) -> Iterator[PlanError]:
    """Each rank's slice of weights in FP8 blocks holds whole blocks, where vLLM does not refine their scales."""
    for draft, misfit in _misfits(host):
        if misfit.about == BLOCKS:
            yield _error(host, draft, misfit)


@check(accept="group-size")
def quantization_groups_divide(host: HostDraft) -> Iterator[PlanError]:
    """Each rank's slice of weights in AWQ, GPTQ or whole numbers in groups holds whole groups of columns that share a scale."""
    for draft, misfit in _misfits(host):
        if misfit.about == GROUPS:
            yield _error(host, draft, misfit)


def blocks_are_refined(host: HostDraft, draft: ServiceDraft) -> bool:
    """Whether vLLM refines the FP8 scales of routed experts here. Of GPUs of which nothing is known it is taken for granted."""
    if draft.version.release[: len(_REFINES)] < _REFINES:
        return False
    used = set(draft.gpus or ())
    known = [numbers(gpu.compute_capability) for gpu in host.gpus or () if gpu.index in used and numbers(gpu.compute_capability)]
    if any(capability < host.tables.platforms.fp8_arithmetic for capability in known):
        return False
    pads = draft.version.release[: len(_PADS)] >= _PADS and draft.given.get("enable_lora") is not True and draft.given.get("enable_expert_parallel") is not True
    return pads or draft.given.get("moe_backend", "auto") in _ANY_BLOCK


def _misfits(host: HostDraft) -> Iterator[tuple[ServiceDraft, Misfit]]:
    """One misfit a key says it all: another size has to be found for it anyway, and that is looked for among those without any."""
    for draft in host.services:
        parallel = parallel_of(draft.arguments)
        if draft.entry is None or parallel is None:
            continue
        found = list(misfits(draft.entry.architecture, parallel, blocks_are_refined(host, draft)))
        for misfit in {each.key: each for each in reversed(found)}.values():
            yield draft, misfit


def _error(host: HostDraft, draft: ServiceDraft, misfit: Misfit) -> PlanError:
    return PlanError(host.name, draft.label, f"vllm_args.{misfit.key}", str(draft.arguments.get(misfit.key)), misfit.why, _ways_out(host, draft, misfit.key))


def _ways_out(host: HostDraft, draft: ServiceDraft, key: str) -> str:
    parallel = parallel_of(draft.arguments)
    if draft.entry is None or parallel is None:
        raise ValueError("only a known model with known sizes has a misfit")
    model, refines = draft.entry.architecture, blocks_are_refined(host, draft)
    if key == "pipeline_parallel_size":
        return f"write {model.num_layers} or less"
    if key == "decode_context_parallel_size":
        return "take it out, or choose one that divides the copies"
    gpus = len(set(draft.gpus or ())) or parallel.world
    if draft.service.distributed is not None:
        # All GPUs of all hosts are used, and tensor parallel stays inside a host.
        nodes = draft.service.distributed.nodes or 1
        inside = [way for way in pipeline_ways(model, replace(parallel, pipeline=0), gpus * nodes, refines) if gpus % way.tensor == 0]
        return _words(inside[0], parallel) if inside else "no parallel sizes use all GPUs of its hosts: name with gpus those that it is to use"
    # What uses all of the GPUs comes first; fewer of them is the last resort.
    ways = pipeline_ways(model, parallel, gpus, refines)[:1]
    ways += expert_ways(model, parallel, refines)
    smaller = [parallel.with_tensor(size) for size in reversed(tensor_sizes(model, parallel, parallel.tensor, refines))]
    told = [_words(way, parallel) for way in ways if _has_room(host, draft, way)]
    # The largest tensor parallel size that divides is told in any case: with larger GPUs it is the way.
    told += [_words(way, parallel) + ("" if _has_room(host, draft, way) else " (on larger GPUs)") for way in smaller[:1]]
    told += [_words(way, parallel) for way in smaller[1:] if not told and _has_room(host, draft, way)]
    told += [f"{_words(way, parallel)} (on larger GPUs)" for way in ways if not _has_room(host, draft, way)]
    return "; or ".join(told) if told else "no tensor_parallel_size fits the other sizes: change those"


def _words(way: Parallel, now: Parallel) -> str:
    """What to write for a fix."""
    pairs = [f"tensor_parallel_size: {way.tensor}"]
    pairs += [f"pipeline_parallel_size: {way.pipeline}"] if way.pipeline != now.pipeline else []
    pairs += [f"data_parallel_size: {way.data}"] if way.data != now.data else []
    if way.expert and not now.expert:
        return f"deal out whole experts with enable_expert_parallel: true, {', '.join(pairs)}"
    if way.pipeline != now.pipeline:
        return f"use all {way.world} GPUs with {' and '.join(pairs)}"
    return f"set tensor_parallel_size to {way.tensor}"


def _has_room(host: HostDraft, draft: ServiceDraft, way: Parallel) -> bool:
    """Whether the GPUs' memory allows for this fix, as far as is known."""
    question = question_of(host, draft)
    found = question.answer(parallel=way) if question else None
    return found is None or found.hopeful().kv_room > 0


@check()
def draft_model_has_the_same_tensor_parallel_size(host: HostDraft) -> Iterator[PlanError]:
    """A model that drafts tokens has the served model's tensor parallel size, or 1 where it is no whole model (config/speculative.py of vLLM 0.32.0,
    _verify_and_get_draft_tp; v1/spec_decode/draft_model.py)."""
    for draft in host.services:
        named = args.member(draft.given, "speculative_config", "draft_tensor_parallel_size")
        parallel = parallel_of(draft.arguments)
        size = count(named)
        if size is None or parallel is None or size == parallel.tensor or (size == 1 and method_of(draft.given) != "draft_model"):
            continue
        why = f"the served model's tensor_parallel_size is {parallel.tensor}, and vLLM refuses another size for the one that drafts"
        fix = "take it out: it is the served model's then"
        yield PlanError(host.name, draft.label, draft.where("speculative_config") + ".draft_tensor_parallel_size", shown(named), why, fix)


@check()
def layer_partition_is_valid(host: HostDraft) -> Iterator[PlanError]:
    """A pipeline partition of the user's own names each stage and all layers."""
    for draft in host.services:
        partition = draft.environment.get(_PARTITION)
        parallel = parallel_of(draft.arguments)
        layers = draft.entry.architecture.num_layers if draft.entry else None
        if partition is None or parallel is None or layers is None or stages(layers, parallel.pipeline, partition) is not None:
            continue
        why = f"the model has {layers} layers and pipeline_parallel_size is {parallel.pipeline}"
        fix = f"write {parallel.pipeline} numbers that make {layers} together"
        yield PlanError(host.name, draft.label, f"environment.{_PARTITION}", shown(partition), why, fix)


@check()
def context_length_fits_the_model(host: HostDraft) -> Iterator[PlanError]:
    """No longer context than the model's positions, unless overrides stretch them or vLLM is told to allow it."""
    for draft in host.services:
        most = draft.entry.architecture.max_position_embeddings if draft.entry else None
        wanted = count(draft.given.get("max_model_len"))
        if most is None or wanted is None or wanted <= most:
            continue
        stretched = any(key.partition(".")[0] in ("hf_overrides", "rope_scaling", "rope_theta", "hf_config_path") for key in draft.given)
        # Of what a variable among the secrets is nothing is known but that it is there.
        allowed = draft.environment.get(_LONGER, "0") == "1" or _LONGER in draft.service.secret_names
        if not stretched and not allowed:
            fix = f"write {most} or less; where the model's card tells how to stretch it, do so with hf_overrides"
            why = f"the model was made for {most} tokens, and vLLM refuses more"
            yield PlanError(host.name, draft.label, "vllm_args.max_model_len", shown(draft.given["max_model_len"]), why, fix)
