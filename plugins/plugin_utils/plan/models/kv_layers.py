# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers of a model with keys and values for each token, and the state that other layers keep for each request.

Layers differ: some have full attention, some a window, some a state of fixed size (linear attention, state space models), some no cache (only
experts or an MLP), and some use the cache of another layer. Each model family has its own keys in config.json. The key names are those of Hugging
Face's transformers, and the sizes follow the C(KVCacheSpec) of the layers in vLLM 0.32.0.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Mapping, Sequence

FULL, WINDOW, STATE, NOTHING = "full", "window", "state", "nothing"

# Names in layer_types and layers_block_type. By default vLLM keeps the whole cache of chunked layers (Llama 4).
_KINDS = {
    "attention": FULL,
    "chunked_attention": FULL,
    "deepseek_sparse_attention": FULL,
    "full_attention": FULL,
    "indexed_attention": FULL,
    "sliding_attention": WINDOW,
    "conv": STATE,
    "linear_attention": STATE,
    "mamba": STATE,
    "mamba2": STATE,
    "mlp": NOTHING,
    "moe": NOTHING,
}
# Characters of Nemotron-H's hybrid_override_pattern.
_PATTERN = {"*": FULL, "M": STATE, "-": NOTHING, "E": NOTHING}
# MiniMax's attn_type_list, and MiMo's hybrid_layer_pattern.
_ATTENTION_TYPES = {1: FULL, 0: STATE}
_WINDOW_TYPES = {0: FULL, 1: WINDOW}

# Models with state only, and models with state and attention in every layer.
_ONLY_STATE = ("falcon_mamba", "mamba", "mamba2")
_BOTH = ("falcon_h1",)

# Keys of layers with an unknown cache size.
_UNKNOWN = ("compress_ratios", "mamba_d_state", "per_layer_config", "ssm_cfg", "state_size")

# Keys of Mamba 2: heads, head size, groups, state size, convolution kernel; in the names of Nemotron-H, and of Bamba and others.
_MAMBA = (
    ("mamba_num_heads", "mamba_head_dim", "n_groups", "ssm_state_size", "conv_kernel"),
    ("mamba_n_heads", "mamba_d_head", "mamba_n_groups", "mamba_d_state", "mamba_d_conv"),
)

_LAYERS = 4096
_SIZE = 10**7


def kinds_of(text: Mapping[str, Any], layers: int | None, every: int | None = None) -> list[str] | None:
    """The kind of each layer, first to last; None when unknown.

    :param text: the text part of config.json
    :param layers: the number of layers
    :param every: the interval of layers with full attention, by transformers' default
    """
    named = _named(text, layers)
    if named == []:
        return None
    if named is None:
        if not layers or layers > _LAYERS:
            return None
        named = _counted(text, layers, every)
    shared = _number(text.get("num_kv_shared_layers")) or 0
    return named[: len(named) - shared] if named is not None and shared < len(named) else named


def _named(text: Mapping[str, Any], layers: int | None) -> list[str] | None:
    """Layers from a list of their kinds; None without a list, empty with an unknown kind."""
    for key, kinds in (("layer_types", _KINDS), ("layers_block_type", _KINDS), ("attn_type_list", _ATTENTION_TYPES), ("hybrid_layer_pattern", _WINDOW_TYPES)):
        names = text.get(key)
        if isinstance(names, (list, tuple)) and 0 < len(names) <= _LAYERS:
            usable = all(isinstance(name, (str, int)) and not isinstance(name, bool) and name in kinds for name in names) and layers in (None, len(names))
            return [kinds[name] for name in names] if usable else []
    pattern = text.get("hybrid_override_pattern")
    if isinstance(pattern, str) and 0 < len(pattern) <= _LAYERS:
        usable = all(character in _PATTERN for character in pattern) and layers in (None, len(pattern))
        return [_PATTERN[character] for character in pattern] if usable else []
    return None


def _counted(text: Mapping[str, Any], layers: int, every: int | None) -> list[str] | None:
    """Layers from a pattern, such as every fourth."""
    kind = text.get("model_type")
    linear = text.get("linear_attn_config")
    if isinstance(linear, Mapping):
        full = linear.get("full_attn_layers")
        # Counted from 1.
        return [FULL if position + 1 in full else STATE for position in range(layers)] if isinstance(full, (list, tuple)) else None
    if kind in _ONLY_STATE:
        return [STATE] * layers
    if kind in _BOTH:
        return [FULL] * layers
    interval = _number(text.get("full_attention_interval"))
    if interval:
        return [STATE if (position + 1) % interval else FULL for position in range(layers)]
    period, offset = _number(text.get("attn_layer_period")), text.get("attn_layer_offset")
    if period:
        return [FULL if position % period == offset else STATE for position in range(layers)] if _is_number(offset) else None
    indices = text.get("attn_layer_indices")
    if isinstance(indices, (list, tuple)):
        return [FULL if position in indices else STATE for position in range(layers)]
    if any(text.get(key) for key in _UNKNOWN):
        return None
    return _windows(text, layers, every)


def _windows(text: Mapping[str, Any], layers: int, every: int | None) -> list[str]:
    """Layers with full attention and layers with a window, by a fixed interval."""
    if not _number(text.get("sliding_window")) or text.get("use_sliding_window") is False:
        return [FULL] * layers
    pattern = text.get("sliding_window_pattern")
    if isinstance(pattern, str) and pattern:
        # Exaone: L for local, G for global, over and over.
        return [FULL if pattern[position % len(pattern)].upper() == "G" else WINDOW for position in range(layers)]
    step = _number(pattern) or every
    if step:
        return [WINDOW if (position + 1) % step else FULL for position in range(layers)]
    if text.get("use_sliding_window"):
        first = _number(text.get("max_window_layers")) or 0
        return [FULL if position < first else WINDOW for position in range(layers)]
    return [WINDOW] * layers


def groups_of(text: Mapping[str, Any], kinds: Sequence[str], kv_heads: int | None, head_dim: int | None) -> list[dict[str, int]] | None:
    """The layers with keys and values, grouped by equal sizes, with the keys of a KvGroup. None when a size is unknown.

    :param kv_heads: default KV heads of a layer
    :param head_dim: default elements of a key
    """
    value_dim = _number(text.get("v_head_dim")) or head_dim
    groups = []
    for kind, layers in sorted(Counter(kinds).items()):
        if kind not in (FULL, WINDOW):
            continue
        heads, key, value = kv_heads, head_dim, value_dim
        if kind == FULL:
            heads = _number(text.get("num_global_key_value_heads")) or heads
            if _number(text.get("global_head_dim")):
                key = value = text["global_head_dim"]
        else:
            other = text.get("attention_other_setting")
            stated = _number(other.get("num_attention_groups")) if isinstance(other, Mapping) else None
            heads = _number(text.get("swa_num_key_value_heads")) or stated or heads
            key, value = _number(text.get("swa_head_dim")) or key, _number(text.get("swa_v_head_dim")) or value
        if not heads or not key or not value:
            return None
        group = {"layers": layers, "num_kv_heads": heads, "head_dim": key, "value_dim": value}
        groups.append({**group, "sliding_window": text["sliding_window"]} if kind == WINDOW else group)
    return groups


def index_groups(text: Mapping[str, Any], groups: Sequence[dict[str, int]]) -> list[dict[str, int]]:
    """The groups with the index of MiniMax-M3's sparse attention, which some layers with full attention have (sparse_attention_config)."""
    sparse = text.get("sparse_attention_config")
    choosing = sparse.get("sparse_attention_freq") if isinstance(sparse, Mapping) and sparse.get("use_sparse_attention") is True else None
    size = _number(sparse.get("sparse_index_dim")) if isinstance(sparse, Mapping) else None
    if not isinstance(choosing, (list, tuple)) or not size or len(groups) != 1 or "sliding_window" in groups[0]:
        return list(groups)
    layers, sparse_layers = groups[0]["layers"], sum(chosen == 1 for chosen in choosing[: groups[0]["layers"]])
    parts = [{**groups[0], "layers": layers - sparse_layers}, {**groups[0], "layers": sparse_layers, "index_dim": size}]
    return [part for part in parts if part["layers"]]


def compressed_attention(text: Mapping[str, Any], layers: int | None) -> dict[str, int] | None:
    """The keys of a CompressedAttention (DeepSeek-V4: compress_ratios, one for each layer and for those of speculative decoding). None when unknown."""
    ratios, sizes = text.get("compress_ratios"), {key: _number(text.get(key)) for key in ("head_dim", "index_head_dim", "sliding_window")}
    if not layers or layers > _LAYERS or not isinstance(ratios, (list, tuple)) or len(ratios) < layers or None in sizes.values():
        return None
    counted = Counter(ratio if _is_number(ratio) else -1 for ratio in ratios[:layers])
    if not set(counted) <= {0, 1, 4, 128} or not counted[4] or not counted[128]:
        return None
    return {**{key: size for key, size in sizes.items() if size}, "csa_layers": counted[4], "hca_layers": counted[128]}


def blocks_of(text: Mapping[str, Any], head_dim: int | None) -> list[dict[str, int]] | None:
    """The groups of a model with different KV heads in each layer (Nemotron-NAS: block_configs). None when unknown."""
    blocks, heads = text.get("block_configs"), _number(text.get("num_attention_heads"))
    if not isinstance(blocks, (list, tuple)) or not 0 < len(blocks) <= _LAYERS or not heads or not head_dim:
        return None
    counted: Counter[int] = Counter()
    for block in blocks:
        attention = block.get("attention") if isinstance(block, Mapping) else None
        if not isinstance(attention, Mapping):
            return None
        if attention.get("no_op") is True or attention.get("replace_with_linear") is True:
            continue
        shared_by = _number(attention.get("n_heads_in_group"))
        if not shared_by or heads % shared_by:
            return None
        counted[heads // shared_by] += 1
    return [{"layers": layers, "num_kv_heads": count, "head_dim": head_dim, "value_dim": head_dim} for count, layers in sorted(counted.items())]


def index_layers(text: Mapping[str, Any], layers: int) -> int:
    """How many layers of a sparse attention choose tokens themselves, and so keep an index; the others use the choice of one before them.

    As in vLLM's DeepseekV2MLAAttention (model_executor/models/deepseek_v2.py).
    """
    pattern = text.get("index_topk_pattern")
    if isinstance(pattern, (str, list, tuple)):
        return layers - sum(choice == "S" for choice in pattern[:layers])
    every, offset = _number(text.get("index_topk_freq")) or 1, text.get("index_skip_topk_offset", 2)
    return sum(max(layer - offset + 1, 0) % every == 0 for layer in range(min(layers, _LAYERS))) if _is_number(offset) else layers


def state_bytes(text: Mapping[str, Any], kinds: Sequence[str]) -> int:
    """Bytes that all state layers keep for one request, whole model; 0 when unknown.

    As in vLLM's MambaStateShapeCalculator: the last inputs of a convolution, in 16 bits, and the recurrent state.
    """
    return state_layers(text, kinds) * _state_of_layer(text)


def state_layers(text: Mapping[str, Any], kinds: Sequence[str]) -> int:
    """The number of layers that keep a state."""
    return len(kinds) if text.get("model_type") in _BOTH else list(kinds).count(STATE)


def _state_of_layer(text: Mapping[str, Any]) -> int:
    element = 4 if "float32" in (text.get("mamba_ssm_dtype"), text.get("mamba_ssm_cache_dtype")) else 2
    linear = text.get("linear_attn_config")
    if isinstance(linear, Mapping):
        heads, size, kernel = (_number(linear.get(key)) or 0 for key in ("num_heads", "head_dim", "short_conv_kernel_size"))
        # The state of Kimi's delta attention is kept in 32 bits.
        return 3 * heads * size * max(0, kernel - 1) * 2 + heads * size * size * 4
    names = ("linear_num_key_heads", "linear_key_head_dim", "linear_num_value_heads", "linear_value_head_dim", "linear_conv_kernel_dim")
    if all(_number(text.get(name)) for name in names):
        key_heads, key, value_heads, value, kernel = (text[name] for name in names)
        return (2 * key_heads * key + value_heads * value) * (kernel - 1) * 2 + value_heads * key * value * element
    for names in _MAMBA:
        if all(_number(text.get(name)) for name in names):
            heads, size, groups, state, kernel = (text[name] for name in names)
            return (heads * size + 2 * groups * state) * (kernel - 1) * 2 + heads * size * state * element
    return 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _SIZE


def _number(value: Any) -> int | None:
    """A positive count, else None."""
    return value if _is_number(value) and value > 0 else None
