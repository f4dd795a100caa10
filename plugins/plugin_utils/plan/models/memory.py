# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimate of a model's GPU memory. All sizes are bytes on one GPU (one rank) unless stated otherwise; 1 GiB is 2^30 bytes.

docs/memory.md has the accuracy and the measurements. Formulas from vLLM name their place in its sources (0.32.0).
"""

from __future__ import annotations

import math

from dataclasses import dataclass, replace
from typing import Sequence

from . import packed_cache
from .architecture import Architecture, KvGroup, Mla
from .packed_cache import Packed
from .parallel import Parallel, stages

GIB = 2**30
MIB = 2**20

# Tokens in a block of the KV cache, vLLM's default on GPUs. A request uses whole blocks.
BLOCK = 16

# Memory that nvidia-smi reports and CUDA cannot allocate: 79.6 and 79.1 GiB on an H100, 80.0 and 79.2 on an A100.
_DRIVER = 600 * MIB

# Workspace of attention and sampling kernels, and CUDA modules outside of PyTorch.
_WORKSPACE = 400 * MIB

# Buffers of NCCL and of vLLM's all-reduce, for more than one GPU.
_COMMUNICATION = GIB

# CUDA graphs: the pool, and a share for each captured layer.
_GRAPHS = 512 * MIB
_GRAPHS_A_LAYER = 10 * MIB

# Bytes for each logit of the largest batch of samples: 2 as computed, 4 as float, 4 for probabilities.
_LOGIT_BYTES = 10

# Tokens that the expert kernels process at once when data parallel ranks combine their batches.
_POOLED_TOKENS = 32768

# Bytes of one element of weights, by the dtype of an architecture.
_WEIGHT_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5, "fp4": 0.5}

# Bytes of one element of the KV cache. Other types are unknown.
_KV_BYTES = {"bfloat16": 2.0, "float16": 2.0, "half": 2.0, "float32": 4.0, "float": 4.0, "fp8": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0, "fp8_inc": 1.0}

# MLA expands at most this many cached tokens at once for the requests of a batch (attention/mla_attention.py).
_EXPANDED_TOKENS = 65536

# DeepSeek's sparse attention keeps 512 latent elements in FP8, their scales and the rotary part in BF16 in 656 bytes a layer.
_SPARSE_MLA_BYTES = 656
# Its indexer keeps a key of index_head_dim FP8 elements and one float scale for each 128 of them.
_INDEX_SCALE = 4 / 128
# MiniMax-M3's index keeps one key for all heads, whole on each rank, in BF16 whatever the cache's type (models/minimax_m3/common/indexer.py).
_INDEX_BYTES = 2


@dataclass(frozen=True)
class Demand:
    """The arguments that determine memory. C(max_model_len) is in tokens, None when vLLM chooses what fits.

    C(kv_dtype) is kv_cache_dtype. C(max_num_batched_tokens) and C(max_num_seqs) are None for the version's defaults. C(online_fp8) is whether
    vLLM quantises 16-bit weights while it loads them. C(offload) are bytes of weights in the host's memory. C(graphs_count) is whether this vLLM
    counts CUDA graphs in its share (VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS, on by default since 0.19). C(batches) are those that run at the same time:
    their tokens stay in the cache of a layer with a window until they end.
    """

    max_model_len: int | None
    utilization: float
    kv_dtype: str = "auto"
    kv_cache_bytes: int | None = None
    max_num_batched_tokens: int | None = None
    max_num_seqs: int | None = None
    graphs: bool = True
    graphs_count: bool = True
    online_fp8: bool = False
    offload: int = 0
    speculates: bool = False
    windows: bool = True
    batches: int = 1


@dataclass(frozen=True)
class Drafter:
    """A draft model. C(loaded) are bytes of its weights, whole model, and C(kv_dtype) is its kv_cache_dtype, empty for the served model's."""

    repo: str
    model: Architecture
    loaded: int
    kv_dtype: str = ""


@dataclass(frozen=True)
class Estimate:
    """Memory of one GPU of a pipeline stage.

    - C(total): memory of the GPU
    - C(budget): vLLM's share of it
    - C(weights), C(reserve): used before the KV cache
    - C(token): KV cache of each token in layers with full attention
    - C(window_token): KV cache of each token in layers with a C(window)
    - C(state): memory of each request, independent of its length
    - C(block): tokens in a block of layers with full attention
    - C(packed): the blocks of compressed attention, of which C(token) is then a share; C(window) are the tokens of the batches that run
    - C(cache_known): false when the cache sizes are unknown, and then 0
    - C(drafter): the draft model's part of C(weights)
    """

    total: int
    budget: int
    weights: int
    reserve: int
    token: float
    window_token: float
    window: int
    kv_cache_bytes: int | None = None
    state: float = 0.0
    cache_known: bool = True
    drafter: int = 0
    block: int = BLOCK
    packed: Packed | None = None

    @property
    def kv_room(self) -> int:
        """Memory left for the KV cache; negative when the model does not even load."""
        return self.kv_cache_bytes if self.kv_cache_bytes is not None else self.budget - self.weights - self.reserve

    def kv_of(self, tokens: int) -> int:
        """KV cache of one request with this number of tokens, in whole blocks."""
        if self.packed is not None:
            return math.ceil(self.packed.blocks_of(tokens, self.window) * self.packed.block_bytes)
        whole = _up(tokens, self.block)
        # One block more, since a window may begin within a block (v1/kv_cache_interface.py, SlidingWindowSpec).
        windowed = (-(-min(tokens, self.window) // BLOCK) + 1) * BLOCK if self.window_token else 0
        return int(whole * self.token + windowed * self.window_token + self.state)

    def concurrency(self, tokens: int) -> float:
        """How many requests of this number of tokens fit into the cache at once; vLLM logs it as maximum concurrency. 0 when unknown."""
        need = self.kv_of(tokens)
        return max(0.0, self.kv_room / need) if need else 0.0

    def longest(self) -> int:
        """Tokens of the longest request that fits, a multiple of the block size; 0 when none fits or when unknown."""
        if self.kv_room <= 0 or not self.cache_known or self.kv_of(BLOCK) > self.kv_room:
            return 0
        low, high = 0, 1
        while high < 2**32 and self.kv_of(high * BLOCK) <= self.kv_room:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            if self.kv_of(middle * BLOCK) <= self.kv_room:
                low = middle
            else:
                high = middle
        return low * BLOCK

    def short_of(self, tokens: int) -> int:
        """Bytes missing for one request of this number of tokens; 0 or less when it fits."""
        return self.kv_of(tokens) - self.kv_room

    def optimistic(self) -> Estimate:
        """The estimate with half the reserve: memory that is still missing is missing beyond the estimate's error."""
        return replace(self, reserve=self.reserve // 2)


def loaded_bytes(model: Architecture, disk: int | None = None) -> int | None:
    """Bytes of all weights as vLLM loads them, whole model.

    From the architecture; else parameters times bytes of its dtype; else the size on disk, which includes layers for speculative decoding.
    """
    if model.weights_loaded_bytes:
        return model.weights_loaded_bytes
    if model.parameters and model.dtype in _WEIGHT_BYTES:
        counted = int(model.parameters * _WEIGHT_BYTES[model.dtype])
        # Quantised checkpoints keep embeddings and some layers in 16 bits, so the size on disk is more accurate.
        return disk if disk and model.dtype not in ("fp32", "bf16", "fp16") else counted
    return disk


def embedding_bytes(model: Architecture) -> int:
    """Bytes of one table of vocab_size x hidden_size elements of 2 bytes, since embeddings are not quantised. Whole model."""
    return 2 * (model.vocab_size or 0) * (model.hidden_size or 0)


def expert_bytes(model: Architecture, loaded: int) -> int:
    """Bytes of all routed experts: gate, up and down, each hidden_size x moe_intermediate_size, in each layer that has experts.

    Whole model, without scales and never more than what is loaded.
    """
    if not (model.num_experts and model.moe_intermediate_size and model.hidden_size and model.num_layers):
        return 0
    layers = model.num_layers - (model.first_k_dense or 0)
    elements = 3 * model.hidden_size * model.moe_intermediate_size * model.num_experts * layers
    return min(int(elements * _WEIGHT_BYTES.get(model.dtype, 2.0)), loaded)


def weights_of_stage(model: Architecture, parallel: Parallel, loaded: int, layers: int, first: bool, last: bool) -> int:
    """Weights of one rank in a pipeline stage with this number of layers.

    Layers are equal shares of everything except embeddings. Routed experts are divided among all ranks that share them, the rest among the tensor
    parallel ranks. The first stage adds the embedding, the last stage the head (when tied the same table, or a copy on a separate stage).
    """
    embedding = embedding_bytes(model)
    tables = embedding if model.tie_word_embeddings else 2 * embedding
    body = max(0, loaded - tables)
    experts = min(expert_bytes(model, loaded), body)
    share = layers / (model.num_layers or layers)
    ends = (embedding if first else 0) + (embedding if last and not (first and model.tie_word_embeddings) else 0)
    return int(share * (experts / parallel.moe_ranks + (body - experts) / parallel.tensor) + ends / parallel.tensor)


@dataclass(frozen=True)
class Cache:
    """KV cache of a rank with all layers, in bytes: of each C(token) in layers with full attention, of each C(window_token) in layers with a C(window)
    of tokens, and the C(state) of a request. Layers with full attention have C(block) tokens in a block. Compressed attention has C(packed) blocks."""

    token: float
    window_token: float
    window: int
    state: float
    block: int = BLOCK
    packed: Packed | None = None


def _up(value: int, step: int) -> int:
    """The next multiple of O(step)."""
    return -(-value // step) * step


def _padded(counts: Sequence[int]) -> list[int]:
    """The layers of each kind (full attention, window, state) with those that vLLM adds, so that all groups of layers are of one size.

    The size is the number of layers of the rarest kind, or of the most frequent one if that is less than half as many again
    (v1/core/kv_cache_utils.py, _get_kv_cache_groups_uniform_page_size). A layout that packs pages of several sizes adds fewer.
    """
    there = [count for count in counts if count]
    if len(there) < 2:
        return list(counts)
    size = max(there) if max(there) < 1.5 * min(there) else min(there)
    return [_up(count, size) for count in counts]


def cache_of(model: Architecture, parallel: Parallel, kv_dtype: str = "auto", windows: bool = True) -> Cache | None:
    """KV cache of tokens and requests. None when the architecture or the type is unknown.

    Grouped query attention stores a key of head_dim and a value of value_dim elements for each KV head of the rank, at least one. MLA stores one
    latent vector and its rotary part, kv_lora_rank + qk_rope_head_dim elements, complete on each rank. Decode context parallel distributes the
    tokens. States are divided among the tensor parallel ranks. A state takes the place of one block, which is made as large as a state.

    :param windows: whether layers with a window store only the window (vLLM's hybrid KV cache manager)
    """
    deal = parallel.decode_context * parallel.prefill_context
    state = (model.state_bytes or 0) / parallel.tensor
    if model.compressed_attention is not None:
        pool = packed_cache.packed(model.compressed_attention, model.num_layers or 0, kv_dtype) if model.num_layers and windows and deal == 1 else None
        return None if pool is None else Cache(pool.block_bytes / packed_cache.BLOCK, 0.0, 0, 0.0, packed_cache.BLOCK, pool)
    if model.mla is not None:
        layers = sum(group.layers for group in model.kv_groups) if model.kv_groups else model.num_layers
        token = _mla_token(model.mla, layers or 0, _kv_element(model, kv_dtype), kv_dtype)
        return None if not token else _grouped(Cache(token / deal, 0.0, 0, state), layers or 0, 0, model.state_layers or 0)
    element, groups = _kv_element(model, kv_dtype), _groups(model)
    if element is None or groups is None:
        return None
    token = window_token = 0.0
    full = windowed = window = 0
    for group in groups:
        keys_and_values = max(1, group.num_kv_heads // parallel.tensor) * (group.head_dim + group.value_dim) * element
        size = group.layers * (keys_and_values + (group.index_dim or 0) * _INDEX_BYTES) / deal
        if group.sliding_window and windows:
            window_token += size
            windowed += group.layers
            window = max(window, group.sliding_window)
        else:
            token += size
            full += group.layers
    return _grouped(Cache(token, window_token, window, state), full, windowed, model.state_layers or 0)


def _grouped(cache: Cache, full: int, windowed: int, states: int) -> Cache:
    """The cache with the layers that vLLM adds to it, and with states as large as blocks.

    :param full, windowed, states: layers with full attention, with a window, and with a state
    """
    all_full, all_windowed, all_states = _padded((full, windowed, states))
    block, state = BLOCK, cache.state
    if full and states and state:
        # Of one layer: bytes of a token, and of a state.
        each, one = cache.token / full, state / states
        block = _up(math.ceil(one / each), BLOCK)
        state = all_states * block * each
    return Cache(
        cache.token * (all_full / full if full else 1), cache.window_token * (all_windowed / windowed if windowed else 1), cache.window, state, block
    )


def _mla_token(mla: Mla, layers: int, element: float | None, kv_dtype: str) -> float | None:
    """Bytes of one token in this number of layers."""
    index = (mla.index_head_dim or 0) * (1 + _INDEX_SCALE) * min(layers, mla.index_layers or layers)
    if kv_dtype == "fp8_ds_mla" or (index and kv_dtype.startswith("fp8")):
        return layers * _SPARSE_MLA_BYTES + index
    return None if element is None else layers * (mla.kv_lora_rank + mla.qk_rope_head_dim) * element + index


def _groups(model: Architecture) -> tuple[KvGroup, ...] | None:
    """The layers with keys and values, grouped by equal sizes. None when unknown."""
    if model.kv_groups is not None:
        return model.kv_groups
    head = model.head_dim or (model.hidden_size // model.num_attention_heads if model.hidden_size and model.num_attention_heads else None)
    if head is None or not model.num_kv_heads or not model.num_layers:
        return None
    sliding = model.sliding_layers or 0
    full = KvGroup(model.num_layers - sliding, model.num_kv_heads, head, head)
    return (full, KvGroup(sliding, model.num_kv_heads, head, head, model.sliding_window)) if sliding else (full,)


def _kv_element(model: Architecture, kv_dtype: str) -> float | None:
    if kv_dtype == "auto":
        return 4.0 if model.dtype == "fp32" else 2.0
    return _KV_BYTES.get(kv_dtype)


def batch_defaults(total: int, gpu: str) -> tuple[int, int]:
    """The server's defaults of max_num_batched_tokens and max_num_seqs (engine/arg_utils.py, get_batch_defaults)."""
    if total >= 160 * GIB:
        return 16384, 1024
    if total >= 70 * GIB and "a100" not in gpu.lower():
        return 8192, 1024
    return 2048, 256


def reserve_of_stage(model: Architecture, parallel: Parallel, demand: Demand, layers: int, tokens: int, samples: int) -> int:
    """Memory that vLLM reserves in its share for the largest batch, CUDA graphs and communication.

    Activations are the hidden state and its residual, 2 bytes each, and the widest tensors of a layer: gate, up and their product
    (3 x intermediate_size, sliced by tensor parallel), or for experts the same for each of the experts_per_token copies of a token.

    :param tokens: max_num_batched_tokens: the batch that vLLM profiles with (v1/worker/gpu_worker.py, determine_available_memory)
    :param samples: max_num_seqs: the rows of logits of that batch
    """
    hidden = model.hidden_size or 0
    dense = 2 * tokens * (2 * hidden + 3 * (model.intermediate_size or 4 * hidden) / parallel.tensor)
    pooled = min(tokens * parallel.data * parallel.prefill_context, max(tokens, _POOLED_TOKENS))
    routed = 2 * pooled * (model.experts_per_token or 0) * (hidden + 3 * (model.moe_intermediate_size or 0) / parallel.expert_slices)
    logits = _LOGIT_BYTES * samples * (model.vocab_size or 0)
    graphs = (_GRAPHS + _GRAPHS_A_LAYER * layers) if demand.graphs and demand.graphs_count else 0
    communication = _COMMUNICATION if parallel.world > 1 else 0
    activations = max(routed if model.is_moe else 0, 0 if model.is_moe and not model.first_k_dense else dense)
    return int(activations + logits) + _expanded_bytes(model, parallel, demand, samples) + _WORKSPACE + graphs + communication


def _expanded_bytes(model: Architecture, parallel: Parallel, demand: Demand, samples: int) -> int:
    """Memory of a rank for the keys and values that MLA expands from cached vectors, which vLLM counts when it profiles: 2 bytes for each element of each
    head, without the rotary part (attention/mla_attention.py, determine_chunked_prefill_workspace_size and forward). It does so for sparse attention too."""
    mla = model.mla
    if mla is None or not (mla.qk_nope_head_dim and mla.v_head_dim and model.num_attention_heads):
        return 0
    tokens = _EXPANDED_TOKENS if demand.max_model_len is None else min(max(8 * demand.max_model_len, 4 * samples * BLOCK), _EXPANDED_TOKENS)
    heads = model.num_attention_heads / parallel.tensor
    return int(2 * max(tokens, samples * BLOCK) * heads * (mla.qk_nope_head_dim + mla.v_head_dim))


def estimate(
    model: Architecture, parallel: Parallel, demand: Demand, total: int, gpu: str = "", disk: int | None = None, partition: str | None = None,
    drafter: Drafter | None = None, totals: Sequence[int] = (),
) -> Estimate | None:
    """The estimate of the stage with the least room for tokens, see C(estimates). None when too little is known of the model."""
    found = estimates(model, parallel, demand, total, gpu, disk, partition, drafter, totals)
    return tightest(found) if found else None


def tightest(found: Sequence[Estimate]) -> Estimate:
    """The stage with the least room for tokens: each request is on all stages, so this stage limits all of them."""
    return min(found, key=lambda stage: stage.kv_room / max(1.0, stage.token + stage.window_token))


def estimates(
    model: Architecture, parallel: Parallel, demand: Demand, total: int, gpu: str = "", disk: int | None = None, partition: str | None = None,
    drafter: Drafter | None = None, totals: Sequence[int] = (),
) -> list[Estimate] | None:
    """The estimate of each pipeline stage, first to last. None when the size of the weights is unknown.

    :param total: memory of the GPU as nvidia-smi reports it
    :param gpu: its name
    :param disk: bytes of the model on disk, None when unknown
    :param partition: the environment variable VLLM_PP_LAYER_PARTITION
    :param drafter: the draft model, which is on the last stage
    :param totals: memory of a GPU of each stage, where they differ; empty for C(total) everywhere
    """
    loaded = loaded_bytes(model, disk)
    cache = cache_of(model, parallel, demand.kv_dtype, demand.windows)
    if loaded is None:
        return None
    # Stages of a model with an unknown number of layers count as equal shares.
    all_layers = model.num_layers or parallel.pipeline
    parts = stages(all_layers, parallel.pipeline, partition if model.num_layers else None)
    if parts is None:
        return None
    if demand.online_fp8 and model.dtype in ("bf16", "fp16"):
        tables = min(loaded, embedding_bytes(model) * (1 if model.tie_word_embeddings else 2))
        loaded = tables + (loaded - tables) // 2
    usual_tokens, usual_samples = batch_defaults(total, gpu)
    samples = demand.max_num_seqs or usual_samples
    tokens = demand.max_num_batched_tokens or usual_tokens
    if demand.max_model_len:
        tokens = min(tokens, samples * demand.max_model_len)
    by_stage = totals if len(totals) == len(parts) else [total] * len(parts)
    found = []
    for position, layers in enumerate(parts):
        usable = max(0, by_stage[position] - _DRIVER)
        last = position == len(parts) - 1
        weights = weights_of_stage(replace(model, num_layers=all_layers), parallel, loaded, layers, position == 0, last)
        cached = float(layers)
        if demand.speculates and last and model.mtp_layers:
            # The layers for speculative decoding are on the last stage, with their weights and cache.
            weights += int(weights * model.mtp_layers / max(1, layers))
            cached += model.mtp_layers
        stage = Estimate(
            total=by_stage[position],
            budget=int(usable * demand.utilization),
            weights=max(0, weights - demand.offload),
            reserve=reserve_of_stage(model, parallel, demand, layers, tokens, samples if last else 0),
            token=cache.token * cached / all_layers if cache else 0.0,
            window_token=cache.window_token * cached / all_layers if cache else 0.0,
            # The window, and the tokens of the batches that run.
            window=_kept(cache, demand.batches * tokens) if cache else 0,
            state=cache.state * cached / all_layers if cache else 0.0,
            block=cache.block if cache else BLOCK,
            packed=replace(cache.packed, block_bytes=cache.packed.block_bytes * cached / all_layers) if cache and cache.packed else None,
            cache_known=cache is not None,
            kv_cache_bytes=demand.kv_cache_bytes,
        )
        found.append(_with_drafter(stage, drafter, parallel, demand, tokens) if drafter is not None and last else stage)
    return found


def _kept(cache: Cache, in_flight: int) -> int:
    """Tokens that a layer with a window keeps, those of the running batches included; only these for compressed attention, whose windows differ."""
    if cache.packed is not None:
        return in_flight
    return cache.window - 1 + in_flight if cache.window_token else 0


def _with_drafter(stage: Estimate, drafter: Drafter, parallel: Parallel, demand: Demand, tokens: int) -> Estimate:
    """The stage with a draft model: an equal share of its weights, and the cache of its layers for each token, as far as known."""
    weights = drafter.loaded // parallel.tensor
    found = replace(stage, weights=stage.weights + weights, drafter=weights)
    cache = cache_of(drafter.model, parallel, drafter.kv_dtype or demand.kv_dtype, demand.windows) if stage.cache_known else None
    if cache is None:
        return found
    window = max(stage.window, cache.window - 1 + demand.batches * tokens if cache.window_token else 0)
    return replace(
        found, token=stage.token + cache.token, window_token=stage.window_token + cache.window_token, window=window, state=stage.state + cache.state
    )
