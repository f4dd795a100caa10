# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Divisibility: the model can be cut as the parallel sizes ask, and is as long as the context."""

from __future__ import annotations

from typing import Iterator

from ..argument_types import count
from ..architecture import Architecture
from ..draft import HostDraft, ServiceDraft
from ..faults import Fault, shown
from ..layout import expert_ways, misfits, tensor_sizes
from ..parallel import Parallel, parallel_of, stages
from ..sizing import question_of

_PARTITION = "VLLM_PP_LAYER_PARTITION"


def model_divides(host: HostDraft) -> Iterator[Fault]:
    """Heads, FP8 blocks and layers go evenly into the parallel sizes."""
    for draft in host.services:
        parallel = parallel_of(draft.arguments)
        if draft.entry is None or parallel is None:
            continue
        model = draft.entry.architecture
        # One misfit a key says it all: another size has to be found for it anyway, and that is looked for among those without any.
        for misfit in {found.key: found for found in reversed(list(misfits(model, parallel)))}.values():
            value = str(draft.arguments.get(misfit.key))
            yield Fault(host.name, draft.label, f"vllm_args.{misfit.key}", value, misfit.why, _ways_out(host, draft, model, parallel, misfit.key))


def _ways_out(host: HostDraft, draft: ServiceDraft, model: Architecture, parallel: Parallel, key: str) -> str:
    if key == "pipeline_parallel_size":
        return f"write {model.num_layers} or less"
    if key == "decode_context_parallel_size":
        return "take it out, or choose one that divides the copies"
    sizes = [parallel.with_tensor(size) for size in reversed(tensor_sizes(model, parallel, parallel.tensor))]
    ways = [(f"set tensor_parallel_size to {way.tensor}", _has_room(host, draft, way)) for way in sizes]
    for way in expert_ways(model, parallel):
        words = [f"tensor_parallel_size: {way.tensor}"] + ([f"data_parallel_size: {way.data}"] if way.data > 1 else [])
        ways.append((f"deal out whole experts with enable_expert_parallel: true, {', '.join(words)}", _has_room(host, draft, way)))
    if not ways:
        return "no tensor_parallel_size fits the other sizes: change those"
    # The largest tensor parallel size that divides is told in any case: with larger GPUs it is the way.
    told = [words + ("" if room else " (on larger GPUs)") for number, (words, room) in enumerate(ways) if room or number == 0 or number >= len(sizes)]
    return "; or ".join(told)


def _has_room(host: HostDraft, draft: ServiceDraft, way: Parallel) -> bool:
    """Whether the GPUs' memory allows for this way out, as far as is known."""
    question = question_of(host, draft)
    found = question.answer(parallel=way) if question else None
    return found is None or found.hopeful().kv_room > 0


def partition_is_one(host: HostDraft) -> Iterator[Fault]:
    """A pipeline partition of the user's own names each stage and all layers."""
    for draft in host.services:
        partition = draft.environment.get(_PARTITION)
        parallel = parallel_of(draft.arguments)
        layers = draft.entry.architecture.num_layers if draft.entry else None
        if partition is None or parallel is None or layers is None or stages(layers, parallel.pipeline, partition) is not None:
            continue
        why = f"the model has {layers} layers and pipeline_parallel_size is {parallel.pipeline}"
        remedy = f"write {parallel.pipeline} numbers that make {layers} together"
        yield Fault(host.name, draft.label, f"environment.{_PARTITION}", shown(partition), why, remedy)


def context_is_within_the_model(host: HostDraft) -> Iterator[Fault]:
    """No longer context than the model's positions, unless overrides stretch them or vLLM is told to allow it."""
    for draft in host.services:
        most = draft.entry.architecture.max_position_embeddings if draft.entry else None
        wanted = count(draft.given.get("max_model_len"))
        if most is None or wanted is None or wanted <= most:
            continue
        stretched = any(key.partition(".")[0] in ("hf_overrides", "rope_scaling", "rope_theta", "hf_config_path") for key in draft.given)
        if not stretched and draft.environment.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "0") != "1":
            remedy = f"write {most} or less; where the model's card tells how to stretch it, do so with hf_overrides"
            why = f"the model was made for {most} tokens, and vLLM refuses more"
            yield Fault(host.name, draft.label, "vllm_args.max_model_len", shown(draft.given["max_model_len"]), why, remedy)
