# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a model divides by the parallel sizes: heads, blocks of FP8 scales, groups of columns with one scale, layers.

File names are those of vLLM 0.32.0.
"""

from __future__ import annotations

import math

from dataclasses import dataclass, replace
from typing import Iterator

from ..models.architecture import GROUPED, GROUPED_LAYERS, Architecture
from ..models.parallel import Parallel

# Tensor parallel sizes that a fix may offer.
SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)


# The smallest blocks, in rows and columns, into which vLLM refines the scales of routed experts (fused_moe/oracle/fp8.py,
# refine_fp8_moe_block_shape).
_FINEST = 32
_ROUTED = "moe_intermediate_size"
_SHARED = "the shared experts' intermediate size"
# The smallest group to which vLLM's kernels for AWQ and GPTQ experts halve groups to divide a rank's slice (moe_wna16.py, create_weights).
_SMALLEST_GROUP = 32

# Kinds of misfits other than heads and layers.
BLOCKS, GROUPS = "blocks", "groups"


@dataclass(frozen=True)
class Misfit:
    """Something that does not divide: the argument to change, and the reason. C(about): C(BLOCKS) or C(GROUPS) of weights with one scale, else empty."""

    key: str
    why: str
    about: str = ""


def misfits(model: Architecture, parallel: Parallel, refines: bool = False) -> Iterator[Misfit]:
    """Everything in the model that does not divide by the sizes. Unknown parts are skipped.

    :param refines: vLLM refines the block scales of routed experts that a rank's slice would split, from 0.29 on with GPUs with FP8 arithmetic
    """
    yield from _heads(model, parallel)
    yield from _blocks(model, parallel, refines)
    yield from _groups(model, parallel)
    if model.num_layers and parallel.pipeline > model.num_layers:
        yield Misfit("pipeline_parallel_size", f"the model has {model.num_layers} layers, too few for {parallel.pipeline} stages")


def fits(model: Architecture, parallel: Parallel, refines: bool = False) -> bool:
    return next(misfits(model, parallel, refines), None) is None


def _heads(model: Architecture, parallel: Parallel) -> Iterator[Misfit]:
    """Attention heads are divided evenly; KV heads too, or each is copied to the same number of ranks (config/model.py)."""
    size = parallel.tensor
    heads, kv_heads = model.num_attention_heads, model.num_kv_heads
    if heads and heads % size:
        yield Misfit("tensor_parallel_size", f"the model's {heads} attention heads do not divide by {size}")
    elif kv_heads and model.mla is None and (kv_heads % size if kv_heads >= size else size % kv_heads):
        yield Misfit("tensor_parallel_size", f"the model's {kv_heads} KV heads can neither be divided by {size} nor copied evenly to {size} ranks")
    decode_context = parallel.decode_context
    if decode_context > 1 and size % decode_context:
        yield Misfit("decode_context_parallel_size", f"tensor_parallel_size {size} does not divide by {decode_context}")
    elif decode_context > 1 and model.mla is None and kv_heads and decode_context > size // kv_heads:
        why = f"{size} ranks hold {size // kv_heads} copies of each of the model's {kv_heads} KV heads, and tokens can be distributed only among copies"
        yield Misfit("decode_context_parallel_size", why)


def _blocks(model: Architecture, parallel: Parallel, refines: bool) -> Iterator[Misfit]:
    """Each rank's slice of a matrix in FP8 blocks has whole blocks (quantization/utils/fp8_utils.py, validate_fp8_block_shape).

    Scales of channels or tensors have no such limit. vLLM refines only scales of routed experts, to blocks that divide all sizes.
    """
    if model.quantization != "fp8-block" or model.weight_block_size is None:
        return
    # Rows of the sliced outputs and columns of the sliced inputs have the same sizes.
    block = max(model.weight_block_size)
    for what, size, ranks in _sliced(model, parallel):
        if size % ranks or (size // ranks) % block:
            if refines and what == _ROUTED and size % ranks == 0:
                refined = math.gcd(*model.weight_block_size, size // ranks, model.hidden_size or 0)
                if refined >= _FINEST:
                    continue
            share = f"{size // ranks}" if size % ranks == 0 else f"{size / ranks:.1f}"
            why = f"{what} {size} over {ranks} ranks is {share} each, which is not a multiple of the FP8 blocks' {block}"
            yield Misfit("tensor_parallel_size", why, BLOCKS)


def _groups(model: Architecture, parallel: Parallel) -> Iterator[Misfit]:
    """Each rank's slice of the columns of a weight has whole groups, since each group has one scale.

    Otherwise vLLM 0.32.0 refuses it (distributed/utils.py, verify_group_size_divides_partition; auto_awq.py, BaseAWQLinearMethod;
    compressed_tensors_moe_wna16.py), or finds no kernel, or uses wrong scales (auto_gptq.py, kernels/linear/mixed_precision/exllama.py).
    AWQ and GPTQ experts fall back to kernels that halve groups down to 32. vLLM pads for Marlin's tiles (64 rows, 128 columns).
    """
    size = model.group_size
    if model.quantization not in GROUPED or size is None:
        return
    for kind, what, columns, ranks in _inputs(model, parallel):
        if kind not in (model.grouped_layers or GROUPED_LAYERS):
            continue
        group = size
        while kind == "experts" and model.quantization != "int-group" and columns % (ranks * group) and group // 2 >= _SMALLEST_GROUP:
            group //= 2
        if columns % (ranks * group):
            share = f"{columns // ranks}" if columns % ranks == 0 else f"{columns / ranks:.1f}"
            why = f"{what} {columns} over {ranks} ranks is {share} each, which splits the groups of {size} columns with one scale"
            yield Misfit("tensor_parallel_size", why, GROUPS)


def _inputs(model: Architecture, parallel: Parallel) -> Iterator[tuple[str, str, int, int]]:
    """Inputs that are sliced, each with the kind of layer, its name and the number of slices."""
    if model.moe_intermediate_size and parallel.expert_slices > 1:
        yield "experts", _ROUTED, model.moe_intermediate_size, parallel.expert_slices
    if parallel.tensor == 1:
        return
    if model.shared_size:
        yield "dense", _SHARED, model.shared_size, parallel.tensor
    if model.intermediate_size and (not model.is_moe or model.first_k_dense):
        yield "dense", "intermediate_size", model.intermediate_size, parallel.tensor
    heads = model.num_attention_heads
    if heads:
        head = model.mla.v_head_dim if model.mla is not None else model.head_dim or (model.hidden_size or 0) // heads
        if head:
            yield "attention", "the attention heads' size", head * heads, parallel.tensor


def _sliced(model: Architecture, parallel: Parallel) -> Iterator[tuple[str, int, int]]:
    """Sizes that are sliced, each with the number of slices."""
    if model.moe_intermediate_size and parallel.expert_slices > 1:
        yield _ROUTED, model.moe_intermediate_size, parallel.expert_slices
    if parallel.tensor == 1:
        return
    if model.shared_size:
        # Shared experts are sliced like dense layers, independently of the routed ones.
        yield _SHARED, model.shared_size, parallel.tensor
    if model.intermediate_size and (not model.is_moe or model.first_k_dense):
        yield "intermediate_size", model.intermediate_size, parallel.tensor
    if model.mla is None and model.head_dim and model.num_attention_heads and model.num_kv_heads:
        yield "the query heads' size", model.head_dim * model.num_attention_heads, parallel.tensor
        # Fewer heads than ranks: each rank has a whole one.
        yield "the KV heads' size", model.head_dim * model.num_kv_heads, min(parallel.tensor, model.num_kv_heads)


def tensor_sizes(model: Architecture, parallel: Parallel, most: int, refines: bool = False) -> list[int]:
    """Tensor parallel sizes up to C(most) that fit the model with the other sizes unchanged."""
    return [size for size in SIZES if size <= most and fits(model, parallel.with_tensor(size), refines)]


def pipeline_layouts(model: Architecture, parallel: Parallel, gpus: int, refines: bool = False) -> list[Parallel]:
    """Layouts that use all GPUs by more pipeline stages, the largest tensor parallel size first."""
    rest = parallel.data * parallel.prefill_context
    ways = []
    for tensor in reversed(SIZES):
        stages_needed, over = divmod(gpus, tensor * rest)
        way = replace(parallel, tensor=tensor, pipeline=stages_needed)
        if not over and stages_needed > parallel.pipeline and fits(model, way, refines):
            ways.append(way)
    return ways


def expert_layouts(model: Architecture, parallel: Parallel, refines: bool = False) -> list[Parallel]:
    """Layouts on the same number of GPUs with expert parallelism: within tensor parallel, or over data parallel ranks."""
    if not model.is_moe or parallel.expert:
        return []
    within = replace(parallel, expert=True)
    over = replace(parallel, tensor=1, data=parallel.tensor * parallel.data, expert=True)
    ways = [way for way in (within, over) if fits(model, way, refines)]
    return list(dict.fromkeys(ways))
