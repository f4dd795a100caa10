# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Facts of a model's build as users and the catalogue write them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.architecture import Architecture, Mla, read

WHOLE: dict[str, Any] = {
    "class": "Glm4MoeLiteForCausalLM",
    "dtype": "fp8",
    "quantization": "fp8-block",
    "weight_block_size": [128, 64],
    "parameters": 10**12,
    "num_layers": 47,
    "num_attention_heads": 20,
    "num_kv_heads": 1,
    "tie_word_embeddings": False,
    "num_experts": 64,
    "experts_per_token": 4,
    "first_k_dense": 0,
    "mla": {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "q_lora_rank": None},
}


def test_a_whole_architecture() -> None:
    """Every kind of key; the class has another name in Python."""
    architecture, errors = read("gpu1", "a", WHOLE)
    assert errors == []
    assert (architecture.class_name, architecture.weight_block_size, architecture.mla) == ("Glm4MoeLiteForCausalLM", (128, 64), Mla(512, 64))
    assert (architecture.first_k_dense, architecture.hidden_size, architecture.is_moe) == (0, None, True)


@pytest.mark.parametrize(
    ("facts", "quantization"),
    [
        ({}, ""),
        ({"dtype": "bf16"}, "none"),
        ({"dtype": "fp8"}, ""),
        ({"dtype": "fp8", "weight_block_size": [128, 128]}, "fp8-block"),
        ({"dtype": "fp8", "quantization": "fp8-channel"}, "fp8-channel"),
    ],
)
def test_what_the_weights_say_of_quantisation(facts: dict[str, Any], quantization: str) -> None:
    """Blocks mean FP8 in blocks, plain types none; FP8 alone says nothing of its scales."""
    assert read("gpu1", "a", facts) == (Architecture(**{**{"quantization": quantization}, **_typed(facts), "quantization": quantization}), [])


def _typed(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}


FITTING: list[dict[str, Any]] = [
    {"num_attention_heads": 64, "num_kv_heads": 64},
    {"num_attention_heads": 64, "num_kv_heads": 4},
    {"num_experts": 8, "experts_per_token": 8},
    {"num_layers": 3, "first_k_dense": 3},
    {"num_layers": 3, "sliding_layers": 3, "sliding_window": 1},
    {"sliding_layers": 0},
    {"moe_intermediate_size": 1, "num_experts": 1},
]


@pytest.mark.parametrize("facts", FITTING)
def test_facts_that_fit(facts: dict[str, Any]) -> None:
    """The last that is possible on the good side of each bound."""
    assert read("gpu1", "a", facts)[1] == []


WRONG: list[tuple[Any, str]] = [
    ([], "a"),
    ("text", "a"),
    ({1: 2}, "a"),
    ({"num_layer": 2}, "a.num_layer"),
    ({"num_layers": 0}, "a.num_layers"),
    ({"num_layers": 10**9 + 1}, "a.num_layers"),
    ({"num_layers": True}, "a.num_layers"),
    ({"mtp_layers": -1}, "a.mtp_layers"),
    ({"class": "two words"}, "a.class"),
    ({"dtype": "float"}, "a.dtype"),
    ({"dtype": []}, "a.dtype"),
    ({"quantization": "fp8"}, "a.quantization"),
    ({"weight_block_size": 128}, "a.weight_block_size"),
    ({"weight_block_size": [128]}, "a.weight_block_size"),
    ({"weight_block_size": [128, 0]}, "a.weight_block_size"),
    ({"tie_word_embeddings": 1}, "a.tie_word_embeddings"),
    ({"mla": 512}, "a.mla"),
    ({"mla": {"kv_lora_rank": 512}}, "a.mla"),
    ({"mla": {"kv_lora_rank": 512, "qk_rope_head_dim": 0}}, "a.mla"),
    ({"mla": {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "rank": 1}}, "a.mla"),
    ({"num_attention_heads": 64, "num_kv_heads": 5}, "a.num_kv_heads"),
    ({"num_attention_heads": 4, "num_kv_heads": 8}, "a.num_kv_heads"),
    ({"num_experts": 8, "experts_per_token": 9}, "a.experts_per_token"),
    ({"num_layers": 3, "first_k_dense": 4}, "a.first_k_dense"),
    ({"num_layers": 3, "sliding_layers": 4, "sliding_window": 1}, "a.sliding_layers"),
    ({"sliding_layers": 1}, "a.sliding_layers"),
    ({"moe_intermediate_size": 1}, "a.moe_intermediate_size"),
    ({"quantization": "fp8-block"}, "a.quantization"),
    ({"quantization": "fp8-channel", "weight_block_size": [128, 128]}, "a.weight_block_size"),
    ({"quantization": "fp8-channel", "group_size": 128}, "a.group_size"),
    ({"quantization": "awq", "group_size": 0}, "a.group_size"),
    ({"quantization": "awq", "group_size": 128, "grouped_layers": "experts"}, "a.grouped_layers"),
    ({"quantization": "awq", "group_size": 128, "grouped_layers": ["heads"]}, "a.grouped_layers"),
]


@pytest.mark.parametrize(("facts", "key"), WRONG)
def test_facts_that_do_not(facts: Any, key: str) -> None:
    """Each names its key, with a reason and a fix."""
    [error] = read("gpu1", "a", facts)[1]
    assert (error.host, error.key) == ("gpu1", key) and error.why and error.fix
