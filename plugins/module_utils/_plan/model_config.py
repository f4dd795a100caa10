# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a model's C(config.json), as Hugging Face's transformers writes it, to the facts of an architecture, as a catalogue entry states them.

Which keys count, and in which order, is as vLLM reads them (transformers_utils/model_arch_config_convertor.py and config/model.py of 0.32.0).
What is not sure is left out: a check that is not made is better than a fault that is none.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

# Keys of a catalogue's architecture, and the keys of config.json that may hold them, the first one that does.
_COUNTS: dict[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "n_embd"),
    "intermediate_size": ("intermediate_size", "ffn_hidden_size"),
    "num_layers": ("num_hidden_layers", "n_layer"),
    "num_attention_heads": ("num_attention_heads", "n_head"),
    "num_kv_heads": ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups"),
    "head_dim": ("head_dim",),
    "vocab_size": ("vocab_size",),
    "num_experts": ("num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts"),
    "experts_per_token": ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k"),
    "moe_intermediate_size": ("moe_intermediate_size",),
    "first_k_dense": ("first_k_dense_replace",),
    "shared_experts": ("n_shared_experts",),
    "mtp_layers": ("num_nextn_predict_layers", "mtp_num_hidden_layers"),
    "max_position_embeddings": ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"),
}

_MLA = ("kv_lora_rank", "qk_rope_head_dim", "q_lora_rank", "qk_nope_head_dim", "v_head_dim", "index_head_dim")

# Models whose compressed cache vLLM keeps as such; with any other it makes keys and values of it. Those with linear attention beside it
# or a compression of their own are not among them: what a token takes there is another sum.
_MLA_TYPES = (
    "axk1", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm_moe_dsa", "glm4_moe_lite", "kimi_k2", "longcat_flash", "pangu_ultra_moe"
)

# Signs of layers that keep no plain keys and values for each token, so that the cache cannot be worked out from heads and layers.
_OTHER_LAYERS = (
    "attention_chunk_size",
    "attn_layer_period",
    "attn_type_list",
    "block_configs",
    "compress_ratios",
    "full_attention_interval",
    "hybrid_override_pattern",
    "layers_block_type",
    "linear_attn_config",
    "mamba_d_state",
    "num_kv_shared_layers",
    "per_layer_config",
    "ssm_cfg",
    "state_size",
)

# Types of weights that are not quantised. vLLM computes with 16 bits what lies there with 32.
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "bf16", "float": "bf16"}

# How the position is stretched beyond max_position_embeddings: with these that key, or the factor, is all there is to know.
_SCALED_BY_FACTOR = ("linear", "dynamic", "ntk")
_SCALED_ALREADY = ("default", "llama3", "longrope", "su", "mrope", "deepseek_yarn")


def facts_of(config: Mapping[str, Any], files: Sequence[tuple[str, int]] = ()) -> dict[str, Any]:
    """What is known of the model's build, by the keys of a catalogue entry's C(architecture).

    :param config: the contents of config.json, whatever they are
    :param files: path and bytes of the repository's files
    """
    text = _text_part(config)
    facts: dict[str, Any] = {}
    for key, names in _COUNTS.items():
        found = next((number for name in names if (number := _count(text.get(name))) is not None), None)
        if found is not None:
            facts[key] = found
    classes = config.get("architectures")
    if isinstance(classes, Sequence) and classes and isinstance(classes[0], str) and classes[0]:
        facts["class"] = classes[0]
    _complete_experts(facts)
    _add_attention(facts, text)
    _add_context(facts, text)
    _add_types(facts, config, text)
    for holder in (text, config):
        if isinstance(holder.get("tie_word_embeddings"), bool):
            facts["tie_word_embeddings"] = holder["tie_word_embeddings"]
            break
    loaded = _loaded_bytes(files, facts)
    # Only 16 of the 32 bits are loaded.
    facts["weights_loaded_bytes"] = loaded // 2 if _stated_type(config, text) in ("float32", "float") else loaded
    # Zero is a fact of these only.
    may_be_none = ("num_experts", "first_k_dense", "shared_experts", "mtp_layers", "sliding_layers")
    return {key: value for key, value in facts.items() if value != 0 or key in may_be_none or value is False}


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part about text: models that see or hear keep it apart."""
    for key in ("text_config", "llm_config", "language_config"):
        part = config.get(key)
        if isinstance(part, Mapping) and ("num_hidden_layers" in part or "num_hidden_layers" not in config):
            return part
    return config


def _count(value: Any) -> int | None:
    """A number of things, possibly none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def _complete_experts(facts: dict[str, Any]) -> None:
    """Mixtral and its like say nothing of their experts' size: all of their layers have experts, and the size is the usual key's."""
    if facts.get("num_experts"):
        if "moe_intermediate_size" not in facts and "intermediate_size" in facts:
            facts["moe_intermediate_size"] = facts["intermediate_size"]
        return
    for key in ("experts_per_token", "moe_intermediate_size", "first_k_dense", "shared_experts"):
        facts.pop(key, None)


def _add_attention(facts: dict[str, Any], text: Mapping[str, Any]) -> None:
    """Heads, the compressed cache, and layers that see only a window."""
    if "num_kv_heads" not in facts and "num_attention_heads" in facts and not text.get("multi_query"):
        facts["num_kv_heads"] = facts["num_attention_heads"]
    if text.get("kv_lora_rank") is not None:
        facts.pop("head_dim", None)
        if text.get("model_type") in _MLA_TYPES and _count(text["kv_lora_rank"]) and _count(text.get("qk_rope_head_dim")):
            facts["mla"] = {key: text[key] for key in _MLA if _count(text.get(key))}
        else:
            facts.pop("num_kv_heads", None)
    kinds = text.get("layer_types")
    kinds = [kind for kind in kinds if isinstance(kind, str)] if isinstance(kinds, (list, tuple)) else []
    mixed = any(kind not in ("full_attention", "sliding_attention") for kind in kinds)
    if mixed or any(text.get(key) for key in _OTHER_LAYERS):
        facts.pop("num_kv_heads", None)
        facts.pop("mla", None)
        return
    _add_windows(facts, text, kinds)


def _add_windows(facts: dict[str, Any], text: Mapping[str, Any], kinds: list[str]) -> None:
    """How many layers see only so many tokens back."""
    window, layers = _count(text.get("sliding_window")), facts.get("num_layers", 0)
    if not window or not layers or text.get("use_sliding_window") is False:
        return
    # Every so many layers one sees all.
    pattern = 2 if text.get("model_type") == "gemma2" else _count(text.get("sliding_window_pattern"))
    if kinds:
        sliding = kinds.count("sliding_attention")
    elif pattern:
        sliding = layers - layers // pattern
    elif text.get("use_sliding_window"):
        sliding = max(0, layers - (_count(text.get("max_window_layers")) or 0))
    else:
        sliding = layers
    if 0 < sliding <= layers:
        facts.update(sliding_window=window, sliding_layers=sliding)


def _add_context(facts: dict[str, Any], text: Mapping[str, Any]) -> None:
    """Take into account how positions are stretched."""
    if "max_position_embeddings" not in facts:
        return
    rope = text.get("rope_parameters") or text.get("rope_scaling")
    if not isinstance(rope, Mapping):
        return
    # Some have one such dictionary for each kind of layer.
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
            # Versions of vLLM differ in whether the factor still applies.
            del facts["max_position_embeddings"]
        return


def _add_types(facts: dict[str, Any], config: Mapping[str, Any], text: Mapping[str, Any]) -> None:
    """The type of the weights, and how they are quantised."""
    quantised = next((part for part in (config.get("quantization_config"), text.get("quantization_config"), config.get("compression_config")) if part), None)
    if quantised is None:
        stated = _stated_type(config, text)
        if stated in _DTYPES:
            facts.update(dtype=_DTYPES[stated], quantization="none")
    elif isinstance(quantised, Mapping):
        facts.update(_quantised(quantised))


def _stated_type(config: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    return next((part[key] for part in (text, config) for key in ("dtype", "torch_dtype") if isinstance(part.get(key), str)), "")


def _quantised(config: Mapping[str, Any]) -> dict[str, Any]:
    """Type and kind of quantised weights; empty when it is a kind of which nothing is known here."""
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
        return {"dtype": kinds[bits], "quantization": method} if isinstance(bits, int) and bits in kinds else {}
    if method == "mxfp4":
        return {"dtype": "fp4", "quantization": "mxfp4"}
    if method.startswith("modelopt"):
        named = str(config.get("quant_algo") or "").upper()
        return {"NVFP4": {"dtype": "fp4", "quantization": "nvfp4"}, "FP8": _fp8("tensor", None)}.get(named, {})
    return {}


def _compressed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Weights in the format of compressed-tensors: groups of layers, each with a scheme. Nothing when they differ."""
    groups = config.get("config_groups")
    schemes = [group.get("weights") for group in groups.values() if isinstance(group, Mapping)] if isinstance(groups, Mapping) else []
    kinds = [_scheme(scheme) for scheme in schemes if isinstance(scheme, Mapping)]
    return kinds[0] if kinds and all(kind == kinds[0] for kind in kinds) else {}


def _scheme(scheme: Mapping[str, Any]) -> dict[str, Any]:
    what = (scheme.get("type"), scheme.get("num_bits"))
    strategy = str(scheme.get("strategy") or "")
    if what == ("float", 8):
        return _fp8(strategy, scheme.get("block_structure"))
    if what == ("int", 8):
        return {"dtype": "int8", **({"quantization": "int8-channel"} if strategy == "channel" else {})}
    if what == ("int", 4):
        return {"dtype": "int4"}
    if what == ("float", 4):
        return {"dtype": "fp4", **({"quantization": "nvfp4"} if scheme.get("group_size") == 16 else {})}
    return {}


def _fp8(strategy: str, block: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"dtype": "fp8"}
    if strategy == "block" and isinstance(block, (list, tuple)) and len(block) == 2 and all(_count(size) for size in block):
        found.update(quantization="fp8-block", weight_block_size=list(block))
    elif strategy in ("channel", "tensor"):
        found["quantization"] = f"fp8-{strategy}"
    return found


def _loaded_bytes(files: Sequence[tuple[str, int]], facts: Mapping[str, Any]) -> int:
    """Bytes of the weights as they lie in the repository, without layers for speculative decoding.

    These are taken out as an even share: only the header of the files tells which tensors are theirs.
    """
    sizes = {path: size for path, size in files if path.endswith(".safetensors") and "/" not in path}
    # Some repositories have the same weights once more, in one file, under this name.
    split = {path: size for path, size in sizes.items() if not path.startswith("consolidated")}
    total = sum((split or sizes).values())
    layers, extra = facts.get("num_layers") or 0, facts.get("mtp_layers") or 0
    return total * layers // (layers + extra) if layers and extra else total
