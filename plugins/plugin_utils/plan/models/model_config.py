# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a model's C(config.json), in the format of Hugging Face's transformers, to the architecture of a catalogue entry.

The keys and their order are those of vLLM (transformers_utils/model_arch_config_convertor.py and config/model.py of 0.32.0). Uncertain facts are
left out, since a missing check is better than a false error.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Mapping, Sequence

from . import kv_layers

# Keys of an architecture, each with the keys of config.json, of which the first existing one is used.
_COUNTS: dict[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "n_embd"),
    "intermediate_size": ("intermediate_size", "ffn_hidden_size"),
    "num_layers": ("num_hidden_layers", "n_layer"),
    "num_attention_heads": ("num_attention_heads", "n_head"),
    "num_kv_heads": ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups"),
    "head_dim": ("head_dim",),
    "vocab_size": ("vocab_size",),
    "num_experts": ("num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts"),
    "experts_per_token": ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "top_k_experts"),
    "moe_intermediate_size": ("moe_intermediate_size",),
    "first_k_dense": ("first_k_dense_replace",),
    "shared_experts": ("n_shared_experts",),
    "shared_expert_intermediate_size": ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size"),
    "mtp_layers": ("num_nextn_predict_layers", "mtp_num_hidden_layers"),
    "max_position_embeddings": ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"),
}

_MLA = ("kv_lora_rank", "qk_rope_head_dim", "q_lora_rank", "qk_nope_head_dim", "v_head_dim", "index_head_dim")

# Models whose compressed cache vLLM stores as such; for others it stores keys and values. Models with other kinds of compression are excluded, since
# their cache has other sizes.
_MLA_TYPES = (
    "axk1", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm_moe_dsa", "glm4_moe_lite", "kimi_k2", "kimi_linear", "longcat_flash", "pangu_ultra_moe"
)

# Models with compressed attention, as models/packed_cache.py counts it.
_COMPRESSED_TYPES = ("deepseek_v4",)

# Data types of weights that are not quantised. vLLM computes in 16 bits with weights of 32 bits.
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "bf16", "float": "bf16"}

# Kinds of RoPE scaling for which max_position_embeddings, or the factor, determines the context length.
_SCALED_BY_FACTOR = ("linear", "dynamic", "ntk")
_SCALED_ALREADY = ("default", "llama3", "longrope", "su", "mrope", "deepseek_yarn")


def facts_of(
    config: Mapping[str, Any], files: Sequence[tuple[str, int]] = (), defaults: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> dict[str, Any]:
    """The facts of the model, with the keys of a catalogue entry's C(architecture).

    :param config: the contents of config.json, not validated
    :param files: path and bytes of the repository's files
    :param defaults: transformers' defaults for missing keys, by model_type
    """
    text = _text_part(config)
    usual = next((defaults[kind] for kind in (text.get("model_type"), config.get("model_type")) if isinstance(kind, str) and kind in defaults), {})
    # A null in config.json is not replaced by a default.
    text = {**{key: value for key, value in usual.items() if not any(name in text for name in _same_fact(key))}, **text}
    facts: dict[str, Any] = {}
    for key, names in _COUNTS.items():
        found = next((number for name in names if (number := _count(text.get(name))) is not None), None)
        if found is not None:
            facts[key] = found
    classes = config.get("architectures")
    if isinstance(classes, Sequence) and classes and isinstance(classes[0], str) and classes[0]:
        facts["class"] = classes[0]
    _complete_experts(facts)
    _add_attention(facts, text, _count(usual.get("full_attention_every")))
    _add_context(facts, text)
    # NVIDIA's quantised repositories have a separate file about it.
    if not any(path == "hf_quant_config.json" for path, _size in files) or any(part.get("quantization_config") for part in (config, text)):
        _add_types(facts, config, text)
    for holder in (text, config):
        if isinstance(holder.get("tie_word_embeddings"), bool):
            facts["tie_word_embeddings"] = holder["tie_word_embeddings"]
            break
    loaded = _loaded_bytes(files, facts)
    # Only 16 of the 32 bits are loaded.
    facts["weights_loaded_bytes"] = loaded // 2 if _stated_type(config, text) in ("float32", "float") else loaded
    # Zero is a fact only for these.
    may_be_none = ("num_experts", "first_k_dense", "shared_experts", "mtp_layers", "sliding_layers")
    # An empty list of groups is a fact: no layer has keys and values.
    return {key: value for key, value in facts.items() if value != 0 or key in may_be_none or value is False}


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The text part of config.json: multimodal models have a separate one."""
    # Models that also speak have a part that thinks, with a text part of its own.
    thinker = config.get("thinker_config")
    if isinstance(thinker, Mapping) and "num_hidden_layers" not in config:
        config = thinker
    for key in ("text_config", "llm_config", "language_config"):
        part = config.get(key)
        if isinstance(part, Mapping) and ("num_hidden_layers" in part or "num_hidden_layers" not in config):
            return part
    return config


def _count(value: Any) -> int | None:
    """A count from 0 on, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def _complete_experts(facts: dict[str, Any]) -> None:
    """Complete models like Mixtral, whose layers all have experts, and whose intermediate_size is that of the experts."""
    if facts.get("num_experts"):
        if "moe_intermediate_size" not in facts and "intermediate_size" in facts:
            facts["moe_intermediate_size"] = facts["intermediate_size"]
        return
    for key in ("experts_per_token", "moe_intermediate_size", "first_k_dense", "shared_experts", "shared_expert_intermediate_size"):
        facts.pop(key, None)


def _add_attention(facts: dict[str, Any], text: Mapping[str, Any], every: int | None) -> None:
    """Add heads, the compressed cache, and the kinds of layers."""
    if "num_kv_heads" not in facts and "num_attention_heads" in facts and not text.get("multi_query"):
        facts["num_kv_heads"] = facts["num_attention_heads"]
    if "head_dim" not in facts and (head_dim := _count(text.get("attention_head_dim"))):
        facts["head_dim"] = head_dim
    if text.get("block_configs"):
        # Layers with different numbers of heads: no single number is valid for all.
        facts.pop("num_kv_heads", None)
        groups = kv_layers.blocks_of(text, _head_dim(facts))
        if groups is not None:
            facts["kv_groups"] = groups
        return
    if text.get("compress_ratios") and text.get("model_type") in _COMPRESSED_TYPES:
        for key in ("num_kv_heads", "head_dim"):
            facts.pop(key, None)
        compressed = kv_layers.compressed_attention(text, facts.get("num_layers"))
        if compressed is not None:
            facts["compressed_attention"] = compressed
        return
    if text.get("kv_lora_rank") is not None:
        facts.pop("head_dim", None)
        if text.get("model_type") in _MLA_TYPES and _count(text["kv_lora_rank"]) and _count(text.get("qk_rope_head_dim")):
            facts["mla"] = {key: text[key] for key in _MLA if _count(text.get(key))}
            _add_index_layers(facts, text)
        else:
            facts.pop("num_kv_heads", None)
            return
    kinds = kv_layers.kinds_of(text, facts.get("num_layers"), every)
    if kinds is None:
        facts.pop("num_kv_heads", None)
        facts.pop("mla", None)
        return
    facts.setdefault("num_layers", len(kinds))
    _add_layers(facts, text, kinds)


def _add_index_layers(facts: dict[str, Any], text: Mapping[str, Any]) -> None:
    """Add how many layers have an index, where it is not every layer."""
    layers = facts.get("num_layers")
    if layers and "index_head_dim" in facts["mla"] and (own := kv_layers.index_layers(text, layers)) < layers:
        facts["mla"]["index_layers"] = own


def _add_layers(facts: dict[str, Any], text: Mapping[str, Any], kinds: Sequence[str]) -> None:
    """Add the number of layers with a window, or groups of equal layers where they differ in more than that."""
    sliding = kinds.count(kv_layers.WINDOW)
    window = _count(text.get("sliding_window"))
    if sliding and not window:
        facts.pop("num_kv_heads", None)
        return
    state = kv_layers.state_bytes(text, kinds)
    if state:
        facts.update(state_bytes=state, state_layers=kv_layers.state_layers(text, kinds))
    if "mla" in facts:
        # With MLA only the number of layers matters.
        full = kinds.count(kv_layers.FULL)
        if full and full < len(kinds):
            facts["kv_groups"] = [{"layers": full, "num_kv_heads": 1, "head_dim": 1, "value_dim": 1}]
        return
    head_dim = _head_dim(facts)
    if head_dim is None or "num_kv_heads" not in facts:
        return
    groups = kv_layers.groups_of(text, kinds, facts["num_kv_heads"], head_dim)
    if groups is None:
        facts.pop("num_kv_heads", None)
        return
    groups = kv_layers.index_groups(text, groups)
    sizes = {(group["num_kv_heads"], group["head_dim"], group["value_dim"], group.get("index_dim")) for group in groups}
    if len(kinds) == facts["num_layers"] == sum(group["layers"] for group in groups) and sizes == {(facts["num_kv_heads"], head_dim, head_dim, None)}:
        if sliding:
            facts.update(sliding_window=window, sliding_layers=sliding)
    else:
        facts["kv_groups"] = groups


def _head_dim(facts: Mapping[str, Any]) -> int | None:
    if facts.get("head_dim"):
        return int(facts["head_dim"])
    hidden, heads = facts.get("hidden_size"), facts.get("num_attention_heads")
    return hidden // heads if hidden and heads and hidden >= heads else None


def _same_fact(key: str) -> tuple[str, ...]:
    """The keys of config.json for the same fact."""
    return next((names for names in _COUNTS.values() if key in names), (key,))


def _add_context(facts: dict[str, Any], text: Mapping[str, Any]) -> None:
    """Apply RoPE scaling to max_position_embeddings."""
    if "max_position_embeddings" not in facts:
        return
    rope = text.get("rope_parameters") or text.get("rope_scaling")
    # Gemma 3 states a length to which its factor is applied already.
    if not isinstance(rope, Mapping) or "gemma3" in str(text.get("model_type")):
        return
    # Some models have one such dictionary for each kind of layer.
    parts = [part for part in rope.values() if isinstance(part, Mapping)] or [rope]
    for part in parts:
        kind, factor = part.get("rope_type") or part.get("type") or "default", part.get("factor")
        known = facts["max_position_embeddings"]
        number = factor if isinstance(factor, (int, float)) and not isinstance(factor, bool) and 0 < factor < 10**4 else None
        if kind in _SCALED_ALREADY or number is None:
            continue
        original = _count(part.get("original_max_position_embeddings"))
        if kind in _SCALED_BY_FACTOR:
            facts["max_position_embeddings"] = int(known * number)
        elif not (kind == "yarn" and original and int(original * number) <= known):
            # Versions of vLLM differ in whether they apply the factor.
            del facts["max_position_embeddings"]
        return


def _add_types(facts: dict[str, Any], config: Mapping[str, Any], text: Mapping[str, Any]) -> None:
    """Add the data type of the weights and their quantisation."""
    quantised = next((part for part in (config.get("quantization_config"), text.get("quantization_config"), config.get("compression_config")) if part), None)
    if quantised is None:
        stated = _stated_type(config, text)
        if stated in _DTYPES:
            facts.update(dtype=_DTYPES[stated], quantization="none")
    elif isinstance(quantised, Mapping):
        facts.update(_quantised_experts(text, quantised) or _quantised(quantised))


def _stated_type(config: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    return next((part[key] for part in (text, config) for key in ("dtype", "torch_dtype") if isinstance(part.get(key), str)), "")


def _quantised(config: Mapping[str, Any]) -> dict[str, Any]:
    """Data type and quantisation of quantised weights; empty when the kind is unknown."""
    method = str(config.get("quant_method", "")).lower().replace("_", "-")
    if method in ("compressed-tensors", "compressed-tensors-fp8"):
        return _compressed(config)
    if method == "fp8":
        return _fp8("block" if config.get("weight_block_size") else "tensor", config.get("weight_block_size"))
    if method == "fbgemm-fp8":
        return _fp8("channel", None)
    if method in ("awq", "gptq"):
        kinds = {4: "int4", 8: "int8"}
        bits = config.get("bits", config.get("w_bit"))
        found = {"dtype": kinds[bits], "quantization": method} if isinstance(bits, int) and bits in kinds else {}
        return {**found, **_groups(config.get("group_size", config.get("q_group_size")), _left_alone(config))} if found else {}
    if method == "mxfp4":
        return {"dtype": "fp4", "quantization": "mxfp4"}
    if method.startswith("modelopt"):
        return _modelopt(config)
    return {}


def _quantised_experts(text: Mapping[str, Any], quantised: Mapping[str, Any]) -> dict[str, Any]:
    """DeepSeek-V4's experts, which are most of the weights, have another type than the rest (vLLM, models/deepseek_v4/quant_config.py); else empty."""
    if str(quantised.get("moe_quant_algo") or "").upper() == "NVFP4":
        return {"dtype": "fp4", "quantization": "nvfp4"}
    if quantised.get("quant_method") == "fp8" and text.get("model_type") in _COMPRESSED_TYPES and text.get("expert_dtype", "fp4") == "fp4":
        return {"dtype": "fp4", "quantization": "mxfp4"}
    return {}


def _modelopt(config: Mapping[str, Any]) -> dict[str, Any]:
    """Weights in the formats of NVIDIA's ModelOpt. With several kinds of layers the experts have the smallest type, and are most of the weights."""
    layers = config.get("quantized_layers")
    named = {str(config.get("quant_algo") or "").upper()}
    # vLLM has another class, with another minimum for GPUs, for several kinds.
    own = {} if named == {"MIXED_PRECISION"} else {"modelopt": True}
    if named == {"MIXED_PRECISION"} and isinstance(layers, Mapping):
        named = {str(layer.get("quant_algo") or "").upper() for layer in layers.values() if isinstance(layer, Mapping)}
    if any(kind.endswith("NVFP4") for kind in named):
        return {"dtype": "fp4", "quantization": "nvfp4", **own}
    return {**_fp8("tensor", None), **own} if named == {"FP8"} else {}


def _compressed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Weights in the format of compressed-tensors: groups of layers, each with a scheme. Empty when the schemes differ."""
    groups = config.get("config_groups")
    schemes = [group.get("weights") for group in groups.values() if isinstance(group, Mapping)] if isinstance(groups, Mapping) else []
    kinds = [_scheme(scheme) for scheme in schemes if isinstance(scheme, Mapping)]
    sizes = {kind.pop("group_size", None) for kind in kinds}
    if not kinds or any(kind != kinds[0] for kind in kinds):
        return {}
    return {**kinds[0], **(_groups(sizes.pop(), _left_alone(config)) if len(sizes) == 1 else {})}


def _scheme(scheme: Mapping[str, Any]) -> dict[str, Any]:
    what = (scheme.get("type"), scheme.get("num_bits"))
    strategy = str(scheme.get("strategy") or "")
    if what == ("float", 8):
        return _fp8(strategy, scheme.get("block_structure"))
    if what == ("int", 8):
        return {"dtype": "int8", **({"quantization": "int8-channel"} if strategy == "channel" else {})}
    if what == ("int", 4):
        return {"dtype": "int4", **({"quantization": "int-group", "group_size": scheme.get("group_size")} if strategy == "group" else {})}
    if what == ("float", 4):
        return {"dtype": "fp4", **({"quantization": "nvfp4"} if scheme.get("group_size") == 16 else {})}
    return {}


# Parts of module names by kind of layer, suffixes of routers, and parts of names outside of the text layers.
_KINDS = {
    "attention": ("attn", "attention", "o_proj"),
    "dense": ("mlp", "ffn", "feed_forward", "down_proj", "shared_expert"),
    "experts": ("experts", "mlp", "ffn", "feed_forward", "down_proj"),
}
_ROUTERS = ("gate", "router")
_NO_TEXT = ("visual", "vision", "audio", "lm_head", "embed", "mtp")


def _groups(size: Any, left_alone: Sequence[str] | None) -> dict[str, Any]:
    """The size of groups of columns with one scale, and the kinds of layers that certainly have them. Empty when none has."""
    columns = _count(size)
    if not columns or left_alone is None:
        return {}
    names = [name for name in (each.lower().rstrip("$*.") for each in left_alone) if not name.endswith(_ROUTERS) and not any(map(name.count, _NO_TEXT))]
    kinds = [kind for kind, words in _KINDS.items() if not any(_means(name, kind, words) for name in names)]
    # A name without a kind, like a whole layer, may be any kind.
    if not kinds or any(not any(_means(name, kind, words) for kind, words in _KINDS.items()) for name in names):
        return {}
    return {"group_size": columns, **({"grouped_layers": kinds} if len(kinds) < len(_KINDS) else {})}


def _means(name: str, kind: str, words: Sequence[str]) -> bool:
    return any(word in name for word in words) and not (kind == "experts" and "shared_expert" in name)


def _left_alone(config: Mapping[str, Any]) -> list[str] | None:
    """Names and patterns of modules that are not quantised, or differently; None when the format is unknown."""
    found: list[str] = []
    for key in ("ignore", "modules_to_not_convert"):
        names = config.get(key) or []
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            return None
        found += names
    dynamic = config.get("dynamic") or {}
    if not isinstance(dynamic, Mapping):
        return None
    found += [str(name) for name in dynamic]
    chosen = config.get("modules_in_block_to_quantize")
    return found if not chosen else None


def _fp8(strategy: str, block: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"dtype": "fp8"}
    if strategy == "block" and isinstance(block, (list, tuple)) and len(block) == 2 and all(_count(size) for size in block):
        found.update(quantization="fp8-block", weight_block_size=list(block))
    elif strategy in ("channel", "tensor"):
        found["quantization"] = f"fp8-{strategy}"
    return found


def _loaded_bytes(files: Sequence[tuple[str, int]], facts: Mapping[str, Any]) -> int:
    """Bytes of the weights in the repository, without layers for speculative decoding.

    These count as an equal share, since only the headers of the files list their tensors.
    """
    sizes = {path: size for path, size in files if path.endswith(".safetensors") and "/" not in path}
    # Some repositories contain the same weights again in one file with this name.
    split = {path: size for path, size in sizes.items() if not path.startswith("consolidated")}
    total = sum((split or sizes).values())
    layers, extra = facts.get("num_layers") or 0, facts.get("mtp_layers") or 0
    return total * layers // (layers + extra) if layers and extra else total
