# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model takes of a GPU's memory. All sizes are bytes on one GPU (one rank) unless said otherwise; GiB are 2^30 bytes.

How far the estimate is off, and what it was held against: docs/memory.md. Where a formula is vLLM's own, the place in its sources
(0.32.0) is named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence

from .architecture import Architecture, KvGroup, Mla
from .parallel import Parallel, stages

GIB = 2**30
MIB = 2**20

# Tokens in a block of the KV cache, vLLM's default on GPUs. A request takes whole blocks.
BLOCK = 16

# What CUDA cannot hand out of the memory that nvidia-smi shows: 79.6 against 79.1 GiB on an H100, 80.0 against 79.2 on an A100.
_DRIVER = 600 * MIB

# Work space of attention and sampling kernels, and what CUDA modules take beside PyTorch.
_WORKSPACE = 400 * MIB

# Buffers of NCCL and of vLLM's own all-reduce, once a model is spread over GPUs.
_COMMUNICATION = GIB

# CUDA graphs: something for the pool, and a little for each layer that is captured.
_GRAPHS = 512 * MIB
_GRAPHS_A_LAYER = 10 * MIB

# Copies of the logits that the largest batch of samples holds at once: 2 bytes as computed, 4 as float, 4 for probabilities.
_LOGIT_BYTES = 10

# Tokens that the kernels for experts take at once when data parallel ranks pool their batches; more are done in turns.
_POOLED_TOKENS = 32768

# Bytes of one element of weights, by the dtype of an architecture.
_WEIGHT_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5, "fp4": 0.5}

# Bytes of one element of the KV cache. Of other types nothing is known here.
_KV_BYTES = {"bfloat16": 2.0, "float16": 2.0, "half": 2.0, "float32": 4.0, "float": 4.0, "fp8": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0, "fp8_inc": 1.0}

# DeepSeek's sparse attention keeps 512 latent elements in FP8, their scales and the rotary part in BF16 in 656 bytes a layer.
_SPARSE_MLA_BYTES = 656
# Its indexer keeps a key of index_head_dim FP8 elements and one float scale for each 128 of them.
_INDEX_SCALE = 4 / 128


@dataclass(frozen=True)
class Demand:
    """What the arguments say that memory depends on. C(max_model_len) in tokens, None when vLLM is to choose what fits.

    C(kv_dtype) is kv_cache_dtype, C(max_num_batched_tokens) and C(max_num_seqs) None where the version's defaults hold, C(online_fp8)
    whether weights in 16 bits are quantised as they are loaded, C(offload) bytes of weights that stay in the host's memory.
    C(graphs_count): this vLLM takes CUDA graphs out of its share (VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS, on by default since 0.19).
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


@dataclass(frozen=True)
class Drafter:
    """A model that drafts tokens for the served one. C(loaded) are bytes of its weights, whole model, and C(kv_dtype) its kv_cache_dtype, empty where
    it is the served model's."""

    repo: str
    model: Architecture
    loaded: int
    kv_dtype: str = ""


@dataclass(frozen=True)
class Estimate:
    """Memory of one GPU of the stage that has the least room.

    C(total) is what the GPU has, C(budget) what vLLM may take, C(weights) and C(reserve) what goes before the KV cache, C(token) what each
    token of a request adds to it in the layers that see all tokens, C(window_token) in those that see a C(window) alone, and C(state) what a request
    of any length takes beside that. C(cache_known) is false where too little is known of the model for these: then they are 0. C(drafter) is what of
    the weights is a drafting model's.
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

    @property
    def kv_room(self) -> int:
        """What is left for the KV cache; below 0 when the model does not even load."""
        return self.kv_cache_bytes if self.kv_cache_bytes is not None else self.budget - self.weights - self.reserve

    def kv_of(self, tokens: int) -> int:
        """KV cache of one request of so many tokens, in whole blocks."""
        whole = -(-tokens // BLOCK) * BLOCK
        # One block more, since a window need not begin where a block does (v1/kv_cache_interface.py, SlidingWindowSpec).
        windowed = (-(-min(tokens, self.window) // BLOCK) + 1) * BLOCK if self.window_token else 0
        return int(whole * self.token + windowed * self.window_token + self.state)

    def concurrency(self, tokens: int) -> float:
        """How many requests of so many tokens the cache holds at once; vLLM logs it as maximum concurrency. 0 where that is not known."""
        need = self.kv_of(tokens)
        return max(0.0, self.kv_room / need) if need else 0.0

    def longest(self) -> int:
        """Tokens of the longest request that fits, a multiple of the block; 0 when none does or where that is not known."""
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
        """Bytes that are missing for one request of so many tokens; 0 or less when it fits."""
        return self.kv_of(tokens) - self.kv_room

    def optimistic(self) -> Estimate:
        """The same with half the reserve: what is still missing then is missing beyond the estimate's error."""
        return replace(self, reserve=self.reserve // 2)


def loaded_bytes(model: Architecture, disk: int | None = None) -> int | None:
    """Bytes of all weights as vLLM loads them, whole model.

    What the architecture states; else parameters times bytes of its dtype; else the size on disk, which holds layers for speculative
    decoding as well.
    """
    if model.weights_loaded_bytes:
        return model.weights_loaded_bytes
    if model.parameters and model.dtype in _WEIGHT_BYTES:
        counted = int(model.parameters * _WEIGHT_BYTES[model.dtype])
        # Quantised checkpoints keep embeddings and some layers in 16 bits, so the disk knows better.
        return disk if disk and model.dtype not in ("fp32", "bf16", "fp16") else counted
    return disk


def embedding_bytes(model: Architecture) -> int:
    """One table of vocab_size x hidden_size elements of 2 bytes: quantisation leaves embeddings alone. Whole model."""
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
    """Weights of one rank in a pipeline stage of so many layers.

    Layers are even shares of what is not embedding; routed experts are divided among all ranks that share them, the rest among the tensor
    parallel ranks. The first stage adds the embedding, the last one the head (the same table when tied, on a stage of its own a copy).
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
    """KV cache of a rank that has all layers, in bytes: of each C(token) in the layers that see all, of each C(window_token) in those that see
    a C(window) of tokens, and the C(state) of a request."""

    token: float
    window_token: float
    window: int
    state: float


def cache_of(model: Architecture, parallel: Parallel, kv_dtype: str = "auto", windows: bool = True) -> Cache | None:
    """What tokens and requests take of the KV cache. None when the architecture or the type is not known.

    Grouped query attention keeps a key of head_dim elements and a value of value_dim for each KV head that the rank has, at least one. MLA keeps
    one latent vector and its rotary part, kv_lora_rank + qk_rope_head_dim elements, whole on each rank. Decode context parallel deals the tokens
    out. States are divided among the tensor parallel ranks.

    :param windows: whether layers with a window keep no more than that (vLLM's hybrid KV cache manager)
    """
    deal = parallel.decode_context * parallel.prefill_context
    state = (model.state_bytes or 0) / parallel.tensor
    if model.mla is not None:
        layer = _mla_layer(model.mla, _kv_element(model, kv_dtype), kv_dtype)
        layers = sum(group.layers for group in model.kv_groups) if model.kv_groups else model.num_layers
        return None if layer is None or not layers else Cache(layers * layer / deal, 0.0, 0, state)
    element, groups = _kv_element(model, kv_dtype), _groups(model)
    if element is None or groups is None:
        return None
    token = window_token = 0.0
    window = 0
    for group in groups:
        size = group.layers * max(1, group.num_kv_heads // parallel.tensor) * (group.head_dim + group.value_dim) * element / deal
        if group.sliding_window and windows:
            window_token += size
            window = max(window, group.sliding_window)
        else:
            token += size
    return Cache(token, window_token, window, state)


def _mla_layer(mla: Mla, element: float | None, kv_dtype: str) -> float | None:
    """Bytes of one token in one layer."""
    index = (mla.index_head_dim or 0) * (1 + _INDEX_SCALE)
    if kv_dtype == "fp8_ds_mla" or (index and kv_dtype.startswith("fp8")):
        return _SPARSE_MLA_BYTES + index
    return None if element is None else (mla.kv_lora_rank + mla.qk_rope_head_dim) * element + index


def _groups(model: Architecture) -> tuple[KvGroup, ...] | None:
    """The layers that keep keys and values, those alike together. None when not known."""
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
    """The server's max_num_batched_tokens and max_num_seqs where nobody sets them (engine/arg_utils.py, get_batch_defaults)."""
    if total >= 160 * GIB:
        return 16384, 1024
    if total >= 70 * GIB and "a100" not in gpu.lower():
        return 8192, 1024
    return 2048, 256


def reserve_of_stage(model: Architecture, parallel: Parallel, demand: Demand, layers: int, tokens: int, samples: int) -> int:
    """What vLLM keeps back from its share for the largest batch, CUDA graphs and communication.

    :param tokens: max_num_batched_tokens: the batch that vLLM profiles with (v1/worker/gpu_worker.py, determine_available_memory)
    :param samples: max_num_seqs: the rows of logits of that batch

    Activations: the hidden state and its residual, 2 bytes each, and beside them the widest thing of a layer: gate, up and their product
    (3 x intermediate_size, sliced by tensor parallel), or for experts the same for each of the experts_per_token copies of a token.
    """
    hidden = model.hidden_size or 0
    dense = 2 * tokens * (2 * hidden + 3 * (model.intermediate_size or 4 * hidden) / parallel.tensor)
    pooled = min(tokens * parallel.data * parallel.prefill_context, max(tokens, _POOLED_TOKENS))
    routed = 2 * pooled * (model.experts_per_token or 0) * (hidden + 3 * (model.moe_intermediate_size or 0) / parallel.expert_slices)
    logits = _LOGIT_BYTES * samples * (model.vocab_size or 0)
    graphs = (_GRAPHS + _GRAPHS_A_LAYER * layers) if demand.graphs and demand.graphs_count else 0
    communication = _COMMUNICATION if parallel.world > 1 else 0
    return int(max(routed if model.is_moe else 0, 0 if model.is_moe and not model.first_k_dense else dense) + logits) + _WORKSPACE + graphs + communication


def estimate(
    model: Architecture, parallel: Parallel, demand: Demand, total: int, gpu: str = "", disk: int | None = None, partition: str | None = None,
    drafter: Drafter | None = None,
) -> Estimate | None:
    """The memory of the GPU that has the least room for tokens, as C(estimates) has it. None where too little is known of the model."""
    found = estimates(model, parallel, demand, total, gpu, disk, partition, drafter)
    return tightest(found) if found else None


def tightest(found: Sequence[Estimate]) -> Estimate:
    """The one with the least room for tokens: since each request lies on all stages, it decides for all."""
    return min(found, key=lambda stage: stage.kv_room / max(1.0, stage.token + stage.window_token))


def estimates(
    model: Architecture, parallel: Parallel, demand: Demand, total: int, gpu: str = "", disk: int | None = None, partition: str | None = None,
    drafter: Drafter | None = None,
) -> list[Estimate] | None:
    """The memory of a GPU of each pipeline stage, first to last. None where not even the size of the weights is known.

    :param total: memory of the GPU as nvidia-smi has it
    :param gpu: its name
    :param disk: bytes of the model on the disk, where they are known
    :param partition: the environment variable VLLM_PP_LAYER_PARTITION
    :param drafter: a model that drafts tokens, which lies on the last stage
    """
    loaded = loaded_bytes(model, disk)
    cache = cache_of(model, parallel, demand.kv_dtype, demand.windows)
    if loaded is None:
        return None
    # Of a model with an unknown number of layers each stage is taken for an equal share.
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
    usable = max(0, total - _DRIVER)
    found = []
    for position, layers in enumerate(parts):
        last = position == len(parts) - 1
        weights = weights_of_stage(replace(model, num_layers=all_layers), parallel, loaded, layers, position == 0, last)
        cached = float(layers)
        if demand.speculates and last and model.mtp_layers:
            # The layers for speculative decoding lie on the last stage: weights and cache of that many layers more.
            weights += int(weights * model.mtp_layers / max(1, layers))
            cached += model.mtp_layers
        stage = Estimate(
            total=total,
            budget=int(usable * demand.utilization),
            weights=max(0, weights - demand.offload),
            reserve=reserve_of_stage(model, parallel, demand, layers, tokens, samples if last else 0),
            token=cache.token * cached / all_layers if cache else 0.0,
            window_token=cache.window_token * cached / all_layers if cache else 0.0,
            # The window, and the tokens of a batch that is under way.
            window=cache.window - 1 + tokens if cache and cache.window_token else 0,
            state=cache.state * cached / all_layers if cache else 0.0,
            cache_known=cache is not None,
            kv_cache_bytes=demand.kv_cache_bytes,
        )
        found.append(_with_drafter(stage, drafter, parallel, demand, tokens) if drafter is not None and last else stage)
    return found


def _with_drafter(stage: Estimate, drafter: Drafter, parallel: Parallel, demand: Demand, tokens: int) -> Estimate:
    """The stage with a drafting model on it: an even share of its weights, and its own layers' cache of each token, as far as that is known."""
    weights = drafter.loaded // parallel.tensor
    found = replace(stage, weights=stage.weights + weights, drafter=weights)
    cache = cache_of(drafter.model, parallel, drafter.kv_dtype or demand.kv_dtype, demand.windows) if stage.cache_known else None
    if cache is None:
        return found
    window = max(stage.window, cache.window - 1 + tokens if cache.window_token else 0)
    return replace(
        found, token=stage.token + cache.token, window_token=stage.window_token + cache.window_token, window=window, state=stage.state + cache.state
    )
