# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read of a model's config.json, in the shapes that config.json really has. Where the catalogue has the model, both say the same."""

from __future__ import annotations

import json

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.catalogue import Catalogue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models import architecture
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.model_config import facts_of
from generated import examples
from hypothesis import given, settings, strategies as st
from plan_builders import LLAMA

FP8_BLOCKS = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]}
FP8_CHANNELS = {
    "config_groups": {
        "group_0": {
            "input_activations": {"dynamic": True, "num_bits": 8, "strategy": "token", "symmetric": True, "type": "float"},
            "output_activations": None,
            "targets": ["Linear"],
            "weights": {"block_structure": None, "dynamic": False, "group_size": None, "num_bits": 8, "strategy": "channel", "type": "float"},
        }
    },
    "format": "float-quantized",
    "ignore": ["lm_head"],
    "kv_cache_scheme": None,
    "quant_method": "compressed-tensors",
}
QWEN3_MOE = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "attention_bias": False,
    "decoder_sparse_step": 1,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "max_position_embeddings": 262144,
    "max_window_layers": 94,
    "mlp_only_layers": [],
    "model_type": "qwen3_moe",
    "moe_intermediate_size": 1536,
    "num_attention_heads": 64,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 94,
    "num_key_value_heads": 4,
    "rope_scaling": None,
    "rope_theta": 5000000,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_sliding_window": False,
    "vocab_size": 151936,
}
GLM4_MOE = {
    "architectures": ["Glm4MoeForCausalLM"],
    "first_k_dense_replace": 3,
    "head_dim": 128,
    "hidden_size": 5120,
    "intermediate_size": 12288,
    "max_position_embeddings": 202752,
    "model_type": "glm4_moe",
    "moe_intermediate_size": 1536,
    "n_group": 1,
    "n_routed_experts": 160,
    "n_shared_experts": 1,
    "num_attention_heads": 96,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 92,
    "num_key_value_heads": 8,
    "num_nextn_predict_layers": 1,
    "partial_rotary_factor": 0.5,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 151552,
}
DEEPSEEK_V3 = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "first_k_dense_replace": 3,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "model_type": "deepseek_v3",
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_attention_heads": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "quantization_config": FP8_BLOCKS,
    "rope_scaling": {"beta_fast": 32, "factor": 40, "mscale": 1.0, "original_max_position_embeddings": 4096, "type": "yarn"},
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "v_head_dim": 128,
    "vocab_size": 129280,
}
QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "max_position_embeddings": 32768,
    "max_window_layers": 28,
    "model_type": "qwen2",
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "sliding_window": 131072,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_sliding_window": False,
    "vocab_size": 152064,
}

MODELS = {
    "qwen3-235b-a22b-instruct-2507": QWEN3_MOE,
    "qwen3-235b-a22b-instruct-2507-fp8": {**QWEN3_MOE, "quantization_config": {**FP8_BLOCKS, "modules_to_not_convert": ["lm_head"]}},
    "glm-4.7": GLM4_MOE,
    "glm-4.7-fp8": {**GLM4_MOE, "quantization_config": FP8_CHANNELS},
    "deepseek-v3-0324": DEEPSEEK_V3,
    "llama-3.1-8b-instruct": LLAMA,
    "qwen2.5-7b-instruct": QWEN2,
}


@pytest.mark.parametrize("name", MODELS)
def test_says_what_the_catalogue_says(catalogue: Catalogue, name: str) -> None:
    """Every fact that is read is the catalogue's, and nothing is missing but what config.json does not hold."""
    known = catalogue.entries[name].architecture
    read, errors = architecture.read("", "", facts_of(MODELS[name]))
    assert errors == []
    # None of a thing, and nothing said of it, are the same here.
    different = {field: (getattr(read, field), value) for field, value in vars(known).items() if (value or None) != (getattr(read, field) or None)}
    assert not different.keys() - {"parameters", "weights_loaded_bytes", "head_dim"}, different
    assert read.head_dim in (known.head_dim, None)


DEFAULTS = json.loads((Path(__file__).resolve().parents[6] / "roles/plan/files/transformers_defaults.json").read_text(encoding="utf-8"))["models"]


def facts(base: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """Facts of a config.json with some keys over it."""
    return facts_of({**base, **keys}, (), DEFAULTS)


def compressed(**weights: Any) -> dict[str, Any]:
    """A quantization_config of compressed-tensors with one group of layers."""
    return {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": weights}}}


@pytest.mark.parametrize(
    ("quantised", "expected"),
    [
        ({"quant_method": "fp8"}, ("fp8", "fp8-tensor")),
        ({"quant_method": "fbgemm_fp8"}, ("fp8", "fp8-channel")),
        (FP8_CHANNELS, ("fp8", "fp8-channel")),
        (compressed(type="float", num_bits=8, strategy="tensor"), ("fp8", "fp8-tensor")),
        (compressed(type="int", num_bits=8, strategy="channel"), ("int8", "int8-channel")),
        (compressed(type="int", num_bits=4, strategy="group", group_size=128), ("int4", "int-group")),
        (compressed(type="int", num_bits=4, strategy="channel"), ("int4", "")),
        (compressed(type="float", num_bits=4, group_size=16), ("fp4", "nvfp4")),
        ({"quant_method": "awq", "bits": 4}, ("int4", "awq")),
        ({"quant_method": "gptq", "bits": 8}, ("int8", "gptq")),
        ({"quant_method": "mxfp4"}, ("fp4", "mxfp4")),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, ("fp4", "nvfp4")),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {
            "model.layers.0.linear_attn.out_proj": {"quant_algo": "FP8"}, "model.layers.0.mlp.experts.0.up_proj": {"quant_algo": "W4A16_NVFP4"},
        }}, ("fp4", "nvfp4")),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {"a": {"quant_algo": "FP8"}, "b": 5}}, ("fp8", "fp8-tensor")),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {"a": {"quant_algo": "FP8"}, "b": {"quant_algo": "X"}}}, ("", "")),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, ("", "")),
        ({"quant_method": "something-new"}, ("", "")),
        ("nonsense", ("", "")),
    ],
)
def test_quantisation(quantised: Any, expected: tuple[str, str]) -> None:
    """The methods that vLLM knows, and one that nobody knows."""
    read, errors = architecture.read("", "", facts(LLAMA, quantization_config=quantised))
    assert (read.dtype, read.quantization, errors) == (*expected, [])


INT4 = {"type": "int", "num_bits": 4, "strategy": "group", "group_size": 128}


@pytest.mark.parametrize(
    ("quantised", "expected"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 64, "modules_to_not_convert": None}, (64, None)),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 128, "modules_to_not_convert": ["visual.blocks.0.mlp", "mlp.gate"]}, (128, None)),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, (128, None)),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, (None, None)),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*attn.*": {}}}, (128, ("dense", "experts"))),
        # Layers for speculative decoding are none of these kinds.
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*attn.*": {}, "-:.*mtp.*": {}}}, (128, ("dense", "experts"))),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {r"+:.*\.(?:1[0-5])\..*": {"group_size": 64}}}, (None, None)),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "modules_in_block_to_quantize": [["self_attn.o_proj"]]}, (None, None)),
        ({**compressed(**INT4), "ignore": ["lm_head", "re:.*mlp.gate$"]}, (128, None)),
        ({**compressed(**INT4), "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*"]}, (128, ("experts",))),
        ({**compressed(**INT4), "ignore": ["model.layers.0"]}, (None, None)),
        ({**compressed(**INT4), "ignore": ["re:.*self_attn.*", "re:.*mlp.*"]}, (None, None)),
        ({**compressed(**INT4), "ignore": "lm_head"}, (None, None)),
        (compressed(type="int", num_bits=4, strategy="channel", group_size=128), (None, None)),
        ({"quant_method": "awq", "bits": 4, "group_size": "128"}, (None, None)),
    ],
)
def test_groups_of_columns(quantised: Any, expected: tuple[int | None, tuple[str, ...] | None]) -> None:
    """How many columns share a scale, and of which layers that is sure."""
    read, errors = architecture.read("", "", facts(LLAMA, quantization_config=quantised))
    assert (read.group_size, read.grouped_layers, errors) == (*expected, [])


def test_groups_of_two_sizes_say_none() -> None:
    groups = {"a": {"weights": INT4}, "b": {"weights": {**INT4, "group_size": 32}}}
    found = facts(LLAMA, quantization_config={"quant_method": "compressed-tensors", "config_groups": groups})
    assert found["quantization"] == "int-group" and "group_size" not in found


def test_fp8_blocks_of_compressed_tensors() -> None:
    """Their size stands beside the strategy."""
    found = facts(LLAMA, quantization_config=compressed(type="float", num_bits=8, strategy="block", block_structure=[128, 128]))
    assert (found["quantization"], found["weight_block_size"]) == ("fp8-block", [128, 128])


def test_groups_that_differ_say_nothing() -> None:
    """What the whole is made of cannot be told."""
    groups = {"a": {"weights": {"type": "float", "num_bits": 8}}, "b": {"weights": {"type": "int", "num_bits": 4}}}
    assert "dtype" not in facts(LLAMA, quantization_config={"quant_method": "compressed-tensors", "config_groups": groups})


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"sliding_window": 4096}, (4096, 32)),
        ({"sliding_window": 4096, "use_sliding_window": False}, (None, None)),
        ({"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 28}, (4096, 4)),
        ({"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 40}, (None, None)),
        ({"sliding_window": 1024, "sliding_window_pattern": 6}, (1024, 27)),
        ({"sliding_window": 4096, "model_type": "gemma2"}, (4096, 16)),
        ({"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 16}, (128, 16)),
        ({"sliding_window": None}, (None, None)),
    ],
)
def test_windows(keys: dict[str, Any], expected: tuple[int | None, int | None]) -> None:
    """How many of the 32 layers see only a window, as each family says it."""
    found = facts(LLAMA, **keys)
    assert (found.get("sliding_window"), found.get("sliding_layers")) == expected


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (None, 131072),
        ({"type": "linear", "factor": 2.0}, 262144),
        ({"rope_type": "dynamic", "factor": 4}, 524288),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
        ({"rope_type": "yarn", "factor": 40, "original_max_position_embeddings": 32768}, None),
        ({"rope_type": "longrope", "factor": 32}, 131072),
        ({"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_type": "linear", "factor": 2}}, 262144),
        ({"type": "linear", "factor": "big"}, 131072),
        ({"rope_type": "something-new", "factor": 2.0}, None),
    ],
)
def test_context(scaling: Any, expected: int | None) -> None:
    """Positions that are stretched; where versions of vLLM differ nothing is said."""
    assert facts(LLAMA, rope_scaling=scaling).get("max_position_embeddings") == expected


def test_text_part_of_a_model_that_sees() -> None:
    """Its numbers count; the class stands outside, the type inside or outside."""
    outside = {"architectures": ["Gemma3ForConditionalGeneration"], "torch_dtype": "bfloat16", "vision_config": {"hidden_size": 1}}
    found = facts_of({**outside, "text_config": QWEN2})
    assert facts_of({**outside, "thinker_config": {"text_config": QWEN2}}) == found
    assert (found["class"], found["hidden_size"], found["dtype"]) == ("Gemma3ForConditionalGeneration", 3584, "bf16")


def test_experts_without_a_size_of_their_own() -> None:
    """Mixtral: every layer is one of experts, of the usual size."""
    found = facts(LLAMA, num_local_experts=8, num_experts_per_tok=2)
    assert (found["num_experts"], found["experts_per_token"], found["moe_intermediate_size"]) == (8, 2, 14336)


def test_experts_of_gemma_4() -> None:
    """Its number of experts for a token has a name of its own, null in its models without experts."""
    experts = {"num_experts": 128, "moe_intermediate_size": 704}
    assert facts(LLAMA, **experts, top_k_experts=8)["experts_per_token"] == 8
    assert "experts_per_token" not in facts(LLAMA, num_experts=None, top_k_experts=None)


def test_context_of_gemma_3() -> None:
    """It states its whole context, beside the factor that makes it."""
    assert facts(LLAMA, model_type="gemma3_text", rope_scaling={"rope_type": "linear", "factor": 8.0})["max_position_embeddings"] == 131072


def test_heads_without_groups() -> None:
    """As many keys and values as heads; of Falcon's old way nothing is said."""
    plain = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
    assert facts_of(plain)["num_kv_heads"] == 32
    assert "num_kv_heads" not in facts(plain, multi_query=True)


@pytest.mark.parametrize(
    "keys",
    [
        {"layer_types": ["something_new", "full_attention"] * 16},
        {"layer_types": ["full_attention"] * 31},
        {"compress_ratios": [4, 128] * 16},
        {"mamba_d_state": 128},
        {"block_configs": [{"attention": {"n_heads_in_group": 7}}] * 32},
        {"kv_lora_rank": 256, "qk_rope_head_dim": 32, "model_type": "minicpm3"},
    ],
)
def test_caches_of_another_kind_are_not_guessed(keys: dict[str, Any]) -> None:
    """Without the KV heads there is no estimate of the cache, and no error that is none."""
    found = facts(LLAMA, **keys)
    assert not {"num_kv_heads", "mla", "kv_groups"} & found.keys()


def test_sparse_attention_has_an_indexer() -> None:
    """DeepSeek-V3.2."""
    assert facts(DEEPSEEK_V3, model_type="deepseek_v32", index_head_dim=128)["mla"]["index_head_dim"] == 128


def test_sparse_attention_over_keys_and_values_has_an_index() -> None:
    """MiniMax-M3: all layers but the first three."""
    sparse = {"use_sparse_attention": True, "sparse_attention_freq": [0, 0, 0] + [1] * 29, "sparse_index_dim": 128}
    layer = {"num_kv_heads": 8, "head_dim": 128, "value_dim": 128}
    assert facts(LLAMA, sparse_attention_config=sparse)["kv_groups"] == [{"layers": 3, **layer}, {"layers": 29, **layer, "index_dim": 128}]
    assert "kv_groups" not in facts(LLAMA, sparse_attention_config={**sparse, "use_sparse_attention": False})
    assert "kv_groups" not in facts(LLAMA, sparse_attention_config={**sparse, "sparse_attention_freq": None})


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, None),
        ({"index_topk_freq": 1}, None),
        # GLM-5.2: layers 0, 1, 2, 6, 10, ..., 74.
        ({"index_topk_freq": 4, "index_skip_topk_offset": 3, "index_topk_pattern": None}, 21),
        ({"index_topk_freq": 4}, 21),
        ({"index_topk_pattern": "FSSS" * 3}, 69),
        ({"index_topk_freq": 4, "index_skip_topk_offset": "3"}, None),
    ],
)
def test_layers_may_share_an_index(keys: dict[str, Any], expected: int | None) -> None:
    """Layers that use the choice of another keep no index. Without the keys every layer has its own."""
    found = facts(DEEPSEEK_V3, model_type="glm_moe_dsa", num_hidden_layers=78, index_head_dim=128, **keys)
    assert found["mla"].get("index_layers") == expected


FILES = [("model-00001-of-00002.safetensors", 3000), ("model-00002-of-00002.safetensors", 1000), ("tokenizer.json", 7), ("original/model.safetensors", 9)]


@pytest.mark.parametrize(
    ("config", "files", "expected"),
    [
        (LLAMA, FILES, 4000),
        (LLAMA, [*FILES, ("consolidated.safetensors", 4000)], 4000),
        (LLAMA, [("consolidated.safetensors", 4000)], 4000),
        (LLAMA, [("model.gguf", 4000)], None),
        ({**LLAMA, "torch_dtype": "float32"}, FILES, 2000),
        ({**LLAMA, "num_nextn_predict_layers": 8}, FILES, 3200),
    ],
)
def test_loaded_bytes(config: dict[str, Any], files: list[tuple[str, int]], expected: int | None) -> None:
    """Weights once, in 16 bits at most, without layers for speculative decoding."""
    assert facts_of(config, files).get("weights_loaded_bytes") == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10**12) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = sorted({key for config in (*MODELS.values(), FP8_CHANNELS) for key in config} | {"text_config", "layer_types", "rope_parameters", "dtype", "head_dim"})


@settings(max_examples=examples(100), deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), JSON), st.sampled_from(sorted(MODELS)))
def test_anything_is_read(keys: dict[str, Any], name: str) -> None:
    """Whatever stands in a config.json, there is an answer; contradictions are for the reader of architectures."""
    for config in (keys, {**MODELS[name], **keys}, {**MODELS[name], "text_config": keys}, {**MODELS[name], "quantization_config": keys}):
        architecture.read("", "", facts_of(config))
