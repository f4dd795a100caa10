# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Models whose layers differ: what each family's config.json says of its layers, and the bytes that follow."""

from __future__ import annotations

import json
import math

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import read_config
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models import kv_layers
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.memory import GIB, Demand, cache_of, estimate
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.parallel import Parallel
from generated import examples
from hypothesis import given, settings, strategies as st

DEFAULTS = json.loads((Path(__file__).resolve().parents[6] / "roles/plan/files/transformers_defaults.json").read_text(encoding="utf-8"))["models"]
H100 = 85520809984

# The keys of config.json that say something of layers and heads, as the models' repositories have them.
GEMMA_3_27B = {
    "model_type": "gemma3", "text_config": {
        "model_type": "gemma3_text", "hidden_size": 5376, "intermediate_size": 21504, "num_attention_heads": 32, "num_hidden_layers": 62,
        "num_key_value_heads": 16, "head_dim": 128, "sliding_window": 1024, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    },
}
# Leaves out its heads, their size and the vocabulary.
GEMMA_3_4B = {
    "model_type": "gemma3",
    "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024},
}
GEMMA_4_26B = {
    "model_type": "gemma4", "text_config": {
        "model_type": "gemma4_text", "hidden_size": 2816, "num_attention_heads": 16, "num_hidden_layers": 30, "num_key_value_heads": 8,
        "num_global_key_value_heads": 2, "head_dim": 256, "global_head_dim": 512, "sliding_window": 1024, "num_kv_shared_layers": 0,
        "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 5,
    },
}
QWEN_3_5_27B = {
    "model_type": "qwen3_5", "text_config": {
        "model_type": "qwen3_5_text", "hidden_size": 5120, "num_attention_heads": 24, "num_hidden_layers": 64, "num_key_value_heads": 4, "head_dim": 256,
        "full_attention_interval": 4, "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 16, "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 48, "linear_value_head_dim": 128, "mamba_ssm_dtype": "float32",
    },
}
NEMOTRON_3_NANO = {
    "model_type": "nemotron_h", "hidden_size": 2688, "num_attention_heads": 32, "num_hidden_layers": 52, "num_key_value_heads": 2, "head_dim": 128,
    "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME", "mamba_num_heads": 64, "mamba_head_dim": 64, "n_groups": 8,
    "ssm_state_size": 128, "conv_kernel": 4, "mamba_ssm_cache_dtype": "float32",
}
KIMI_LINEAR = {
    "model_type": "kimi_linear", "hidden_size": 7168, "num_attention_heads": 96, "num_hidden_layers": 93, "num_key_value_heads": 96, "kv_lora_rank": 512,
    "qk_rope_head_dim": 64, "linear_attn_config": {
        "full_attn_layers": [*range(4, 93, 4), 93], "head_dim": 128, "num_heads": 96, "short_conv_kernel_size": 4,
    },
}
MIMO_V2_FLASH = {
    "model_type": "mimo_v2_flash", "hidden_size": 4096, "num_attention_heads": 64, "num_hidden_layers": 48, "num_key_value_heads": 4, "head_dim": 192,
    "v_head_dim": 128, "sliding_window": 128, "swa_num_key_value_heads": 8, "swa_head_dim": 192, "swa_v_head_dim": 128, "attention_chunk_size": 128,
    "hybrid_layer_pattern": ([0] + [1] * 4) + ([0] + [1] * 5) * 7 + [0],
}
NEMOTRON_NAS = {
    "model_type": "nemotron-nas", "hidden_size": 8192, "num_attention_heads": 64, "num_hidden_layers": 80, "num_key_value_heads": None,
    "block_configs": [{"attention": {"n_heads_in_group": 8, "no_op": False}}] * 49 + [{"attention": {"n_heads_in_group": None, "no_op": True}}] * 31,
}
MINIMAX_M2 = {
    "model_type": "minimax_m2", "hidden_size": 3072, "num_attention_heads": 48, "num_hidden_layers": 62, "num_key_value_heads": 8, "head_dim": 128,
    "attn_type_list": [1] * 62,
}
JAMBA = {
    "model_type": "jamba", "hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16,
}
LLAMA_4 = {
    "model_type": "llama4", "text_config": {
        "model_type": "llama4_text", "hidden_size": 5120, "num_attention_heads": 40, "num_hidden_layers": 48, "num_key_value_heads": 8, "head_dim": 128,
        "attention_chunk_size": 8192,
    },
}
# The second half of its layers uses the caches of the first.
GEMMA_3N = {
    "model_type": "gemma3n", "text_config": {
        "model_type": "gemma3n_text", "hidden_size": 2048, "num_attention_heads": 8, "num_hidden_layers": 30, "num_key_value_heads": 2, "head_dim": 256,
        "sliding_window": 512, "num_kv_shared_layers": 10, "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 6,
    },
}
EXAONE_4 = {
    "model_type": "exaone4", "hidden_size": 5120, "num_attention_heads": 40, "num_hidden_layers": 64, "num_key_value_heads": 8, "head_dim": 128,
    "sliding_window": 4096, "sliding_window_pattern": "LLLG",
}


def state(layers: int, one: int, token: int) -> int:
    """Bytes of the states of a request: each as large as a block of tokens that it fits into. O(token) are bytes of a token in one layer."""
    return layers * math.ceil(one / (16 * token)) * 16 * token


# Bytes of a token in layers that see all and in those with a window, and of the state of a request, with the layers that vLLM adds.
CASES: list[tuple[dict[str, Any], int, int, int]] = [
    (GEMMA_3_27B, 10 * 16 * 256 * 2, 60 * 16 * 256 * 2, 0),
    (GEMMA_3_4B, 5 * 4 * 512 * 2, 30 * 4 * 512 * 2, 0),
    (GEMMA_4_26B, 5 * 2 * 1024 * 2, 25 * 8 * 512 * 2, 0),
    (GEMMA_3N, 4 * 2 * 512 * 2, 16 * 2 * 512 * 2, 0),
    (QWEN_3_5_27B, 16 * 4 * 512 * 2, 0, state(48, (2 * 16 * 128 + 48 * 128) * 3 * 2 + 48 * 128 * 128 * 4, 4 * 512 * 2)),
    (NEMOTRON_3_NANO, 6 * 2 * 256 * 2, 0, state(24, (64 * 64 + 2 * 8 * 128) * 3 * 2 + 64 * 64 * 128 * 4, 2 * 256 * 2)),
    (KIMI_LINEAR, 24 * 576 * 2, 0, state(72, 3 * 96 * 128 * 3 * 2 + 96 * 128 * 128 * 4, 576 * 2)),
    (MIMO_V2_FLASH, 9 * 4 * 320 * 2, 45 * 8 * 320 * 2, 0),
    (NEMOTRON_NAS, 49 * 8 * 256 * 2, 0, 0),
    (MINIMAX_M2, 62 * 8 * 256 * 2, 0, 0),
    (JAMBA, 4 * 8 * 256 * 2, 0, 0),
    (LLAMA_4, 48 * 8 * 256 * 2, 0, 0),
    (EXAONE_4, 16 * 8 * 256 * 2, 48 * 8 * 256 * 2, 0),
]


@pytest.mark.parametrize(("config", "token", "window_token", "state"), CASES, ids=[case[0]["model_type"] for case in CASES])
def test_cache(config: dict[str, Any], token: int, window_token: int, state: int) -> None:
    """Layers times KV heads times a key and a value, 2 bytes each."""
    model, problem = read_config(config, [], DEFAULTS)
    cache = cache_of(model, Parallel())
    assert problem == "" and cache is not None
    assert (cache.token, cache.window_token, cache.state) == pytest.approx((token, window_token, state))
    dealt = cache_of(model, Parallel(tensor=2))
    assert dealt is not None and (dealt.state == pytest.approx(state / 2, rel=0.01) or cache.state == 0)


def test_a_request_of_gemma_3() -> None:
    """131,072 tokens on one GPU: 10 of 62 layers see all of them, the others a window and the batch under way, and vLLM adds eight such layers."""
    model, _problem = read_config(GEMMA_3_27B, [("model.safetensors", 54_864_672_448)], DEFAULTS)
    found = estimate(model, Parallel(), Demand(131072, 0.8), H100, "NVIDIA H100 80GB HBM3")
    assert found is not None
    assert found.kv_of(131072) / GIB == pytest.approx(14.3, abs=0.1)
    assert found.concurrency(131072) < 1


def test_a_state_takes_its_room_of_each_request() -> None:
    """However short the request is: of 48 layers a state each, and of 16 layers one block, which is as large."""
    model, _problem = read_config(QWEN_3_5_27B, [("model.safetensors", 30 * 10**9)], DEFAULTS)
    found = estimate(model, Parallel(), Demand(4096, 0.9), H100)
    assert found is not None and found.kv_of(16) == 64 * 784 * 4 * 512 * 2 == found.kv_of(784) < found.kv_of(785)


def test_how_a_repository_is_quantised_may_stand_elsewhere() -> None:
    """NVIDIA's hf_quant_config.json: the type of config.json is not that of the weights."""
    plain, _problem = read_config({**MINIMAX_M2, "torch_dtype": "bfloat16"}, [("model.safetensors", 10**9)], DEFAULTS)
    other, _problem = read_config({**MINIMAX_M2, "torch_dtype": "bfloat16"}, [("model.safetensors", 10**9), ("hf_quant_config.json", 100)], DEFAULTS)
    assert (plain.dtype, plain.quantization) == ("bf16", "none") and (other.dtype, other.quantization) == ("", "")


def test_a_default_is_no_word_of_the_model() -> None:
    """A key that is there counts, null as well; and what follows from other keys is no default."""
    unsaid, _problem = read_config({"model_type": "mistral", "num_hidden_layers": 2}, [], DEFAULTS)
    said, _problem = read_config({"model_type": "mistral", "num_hidden_layers": 2, "sliding_window": None}, [], DEFAULTS)
    assert (unsaid.sliding_layers, said.sliding_layers) == (2, None)
    assert "head_dim" not in DEFAULTS["llama"] and "num_key_value_heads" not in DEFAULTS["llama"]


VALUES = st.none() | st.booleans() | st.integers(-3, 10**9) | st.text("MLG*-E", max_size=8) | st.lists(
    st.sampled_from(["full_attention", "sliding_attention", "linear_attention", "?"]) | st.integers(-1, 2) | st.none(), max_size=5
)


@settings(max_examples=examples(100))
@given(st.dictionaries(st.sampled_from(sorted({key for case in CASES for key in {**case[0], **case[0].get("text_config", {})}} - {"text_config"})), VALUES))
def test_anything_is_read(text: dict[str, Any]) -> None:
    """Whatever stands there: kinds of as many layers, or nothing."""
    layers = text.get("num_hidden_layers")
    kinds = kv_layers.kinds_of(text, layers if isinstance(layers, int) and not isinstance(layers, bool) and layers >= 0 else None)
    assert kinds is None or set(kinds) <= {kv_layers.FULL, kv_layers.WINDOW, kv_layers.STATE, kv_layers.NOTHING}
    model, _problem = read_config({"text_config": text, **text}, [], DEFAULTS)
    cache_of(model, Parallel())
