# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The KV cache of compressed attention, against what vLLM 0.32.0 logs and computes."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models import architecture, memory, model_config, packed_cache
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.parallel import Parallel

GIB = 2**30


def config(layers: int = 43, **more: Any) -> dict[str, Any]:
    """DeepSeek-V4-Flash's config.json, as far as the cache depends on it."""
    ratios = [0, 0] + [4, 128] * 20 + [4, 0]
    return {
        "architectures": ["DeepseekV4ForCausalLM"], "model_type": "deepseek_v4", "hidden_size": 4096, "num_hidden_layers": layers, "num_attention_heads": 64,
        "num_key_value_heads": 1, "head_dim": 512, "vocab_size": 129280, "n_routed_experts": 256, "num_experts_per_tok": 6, "moe_intermediate_size": 2048,
        "index_head_dim": 128, "sliding_window": 128, "compress_ratios": ratios, "expert_dtype": "fp4", "num_nextn_predict_layers": 1,
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}, **more,
    }  # fmt: skip


def model_of(raw: dict[str, Any]) -> architecture.Architecture:
    model, errors = architecture.read("", "", {**model_config.facts_of(raw), "weights_loaded_bytes": GIB})
    assert not errors
    return model


def test_config_json_is_read() -> None:
    facts = model_config.facts_of(config())
    assert facts["compressed_attention"] == {"head_dim": 512, "index_head_dim": 128, "sliding_window": 128, "csa_layers": 21, "hca_layers": 20}
    assert (facts["dtype"], facts["quantization"]) == ("fp4", "mxfp4")
    assert "num_kv_heads" not in facts and "head_dim" not in facts


@pytest.mark.parametrize(
    "change", [{"compress_ratios": [0, 2, 4]}, {"compress_ratios": "x"}, {"index_head_dim": None}, {"compress_ratios": [4] * 43}, {"model_type": "deepseek_v9"}]
)
def test_other_compression_stays_unknown(change: dict[str, Any]) -> None:
    model = model_of(config(**change))
    assert model.compressed_attention is None
    estimate = memory.estimate(model, Parallel(), memory.Demand(4096, 0.9), 80 * GIB)
    assert estimate is not None and not estimate.cache_known


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"expert_dtype": "fp8"}, ("fp8", "fp8-block")), ({"quantization_config": {"quant_method": "fp8", "moe_quant_algo": "NVFP4"}}, ("fp4", "nvfp4"))],
)
def test_the_type_of_the_experts(change: dict[str, Any], expected: tuple[str, str]) -> None:
    facts = model_config.facts_of(config(**change))
    assert (facts["dtype"], facts["quantization"]) == expected


@pytest.mark.parametrize(
    ("layers", "csa", "hca", "block", "groups"),
    # Block bytes and groups as vLLM's _get_packed_kv_cache_groups gives them: of 8 layers as logged by the CPU build, of the whole models by its code.
    [(8, 3, 3, 143_424, [3, 1, 1]), (43, 21, 20, 1_002_240, [2, 1, 1]), (61, 30, 31, 1_435_968, [2, 1, 1])],
)
def test_blocks(layers: int, csa: int, hca: int, block: int, groups: list[int]) -> None:
    pool = packed_cache.packed(architecture.CompressedAttention(512, 128, 128, csa, hca), layers, "fp8")
    assert pool is not None and pool.block_bytes == block and [each.groups for each in pool.windows] == groups


def test_requests_as_vllm_logs_them() -> None:
    """1 GiB of cache, requests of 4096 tokens, 4096 tokens in flight, 8 layers: "Maximum concurrency for 4,096 tokens per request: 4.28x"."""
    demand = memory.Demand(4096, 0.9, kv_cache_bytes=GIB, max_num_batched_tokens=4096, max_num_seqs=4)
    estimate = memory.estimate(model_of(config(8)), Parallel(), demand, 80 * GIB)
    assert estimate is not None and round(estimate.concurrency(4096), 2) == 4.28
    assert estimate.short_of(4096) < 0 < estimate.longest()
    # The longest request fits, and a block more does not.
    longest = estimate.longest()
    assert estimate.kv_of(longest) <= GIB < estimate.kv_of(longest + packed_cache.BLOCK)


def test_a_shorter_batch_keeps_fewer_pages() -> None:
    pool = packed_cache.packed(architecture.CompressedAttention(512, 128, 128, 21, 20), 43, "auto")
    assert pool is not None
    # 512 blocks of keys; pages of 639 and 519 tokens, each with one more.
    assert pool.blocks_of(131072, 512) == 512 + 2 * 11 + 131 + 81


@pytest.mark.parametrize(("kv_dtype", "known"), [("auto", True), ("fp8_ds_mla", True), ("bfloat16", True), ("fp8_e5m2", False), ("int8_per_token_head", False)])
def test_types_of_the_cache(kv_dtype: str, known: bool) -> None:
    cache = memory.cache_of(model_of(config()), Parallel(), kv_dtype)
    assert (cache is not None) == known


def test_ranks_do_not_share_it() -> None:
    """The cache is whole on every tensor parallel rank, and without the hybrid manager its size is not known."""
    model = model_of(config())
    assert memory.cache_of(model, Parallel(tensor=8), "fp8") == memory.cache_of(model, Parallel(), "fp8")
    assert memory.cache_of(model, Parallel(), "fp8", windows=False) is None


def test_more_layers_than_the_model_has_are_an_error() -> None:
    raw = {"num_layers": 4, "compressed_attention": {"head_dim": 512, "index_head_dim": 128, "sliding_window": 128, "csa_layers": 3, "hca_layers": 2}}
    _model, errors = architecture.read("gpu1", "plan_catalogue.x.architecture", raw)
    assert [(error.key, error.fix) for error in errors] == [("plan_catalogue.x.architecture.compressed_attention", "take the numbers from the model's config.json")]
    raw["compressed_attention"] = {"head_dim": 512, "csa_layer": 1}
    _model, errors = architecture.read("gpu1", "x", raw)
    assert "csa_layers" in errors[0].fix
