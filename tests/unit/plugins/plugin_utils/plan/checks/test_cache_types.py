# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Types of the KV cache against GPUs and models: each on both sides of its bound, as vLLM 0.32.0 has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.versions import parse
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.tables import Tables
from plan_builders import gpus, service

Plans = Callable[..., Plan]
HEADS, MLA, SPARSE = "qwen3-8b", "deepseek-v3-0324", "deepseek-v3.2"


def found(plan: Plans, model: str, named: Any, capability: str, **keys: Any) -> list[tuple[str, str]]:
    """What is said of the cache's type: the reason and the fix. Of memory nothing is known."""
    given = {"kv_cache_dtype": named, "max_model_len": 4096, **keys.pop("vllm_args", {})}
    of = {"memory_bytes": 0, "compute_capability": capability}
    made = plan(service(model=model, gpus=..., vllm_args=given, **keys), plan_gpus=gpus(8, **of))
    return [(error.why, error.fix) for error in made.errors if error.key.startswith("vllm_args.kv_cache_dtype")]


@pytest.mark.parametrize(
    ("model", "named", "takes", "refuses"),
    [
        (HEADS, "fp8", ("8.0", "8.6", "9.0", "12.0"), ("7.5",)),
        (HEADS, "fp8_e4m3", ("8.0",), ("7.5",)),
        (HEADS, "fp8_e5m2", ("8.0", "9.0"), ("7.5",)),
        (HEADS, "bfloat16", ("8.0",), ("7.5",)),
        (HEADS, "float16", ("7.5",), ()),
        (HEADS, "auto", ("7.5", "9.0"), ()),
        (HEADS, "fp8_per_token_head", ("8.9", "12.0"), ("8.6",)),
        (HEADS, "int8_per_token_head", ("7.5", "9.0"), ()),
        (HEADS, "nvfp4", ("8.0", "9.0", "10.0", "12.0"), ("7.5", "11.0")),
        (HEADS, "nvfp4_4over6", ("10.0", "10.3"), ("9.0", "12.0")),
        (HEADS, "turboquant_4bit_nc", ("8.0", "9.0"), ()),
        (HEADS, "fp8_inc", (), ("9.0", "10.0")),
        (HEADS, "ultraquant_4bit", (), ("9.0",)),
        (HEADS, "fp8_ds_mla", (), ("9.0",)),
        (MLA, "fp8", ("8.9", "9.0"), ("8.0", "8.6")),
        (MLA, "fp8_e5m2", (), ("9.0",)),
        (MLA, "nvfp4", (), ("10.0",)),
        (MLA, "int8_per_token_head", (), ("9.0",)),
        (MLA, "nvfp4_ds_mla", (), ("10.0",)),
        (SPARSE, "fp8_ds_mla", ("9.0", "10.0"), ()),
        (SPARSE, "nvfp4_ds_mla", ("10.0",), ("9.0", "12.0")),
        (SPARSE, "turboquant_4bit_nc", (), ("9.0",)),
    ],
)
def test_types(plan: Plans, model: str, named: str, takes: tuple[str, ...], refuses: tuple[str, ...]) -> None:
    assert [capability for capability in takes if found(plan, model, named, capability)] == []
    assert [capability for capability in refuses if len(found(plan, model, named, capability)) != 1] == []


def test_what_is_not_sure(plan: Plans) -> None:
    """A backend that is named, versions that were not read, builds for processors, GPUs of which nothing is known."""
    assert found(plan, HEADS, "ultraquant_4bit", "9.0", vllm_args={"attention_backend": "ULTRAQUANT"}) == []
    assert found(plan, HEADS, "nvfp4", "7.5", vllm_version="0.33.0") == []
    assert found(plan, HEADS, "fp8_inc", "9.0", vllm_version="0.32.0+cpu") == []
    assert found(plan, HEADS, "fp8_per_token_head", "") == []


def test_the_way_out(plan: Plans) -> None:
    """FP8 where that goes, else none at all: both are taken."""
    assert "write fp8" in found(plan, HEADS, "fp8_inc", "8.0")[0][1]
    assert "write fp8" not in found(plan, HEADS, "fp8_inc", "7.5")[0][1]
    assert "write fp8" not in found(plan, MLA, "int8_per_token_head", "8.0")[0][1]
    assert "write fp8" in found(plan, MLA, "int8_per_token_head", "9.0")[0][1]


def test_e5m2_beside_fp8_weights(plan: Plans) -> None:
    assert found(plan, "qwen3-8b-fp8", "fp8_e5m2", "9.0") and not found(plan, "glm-4.7-fp8", "fp8_e5m2", "9.0")


def test_the_table_has_every_type(tables: Tables) -> None:
    """Each that the version's parser takes is either there or goes everywhere."""
    version = parse("0.32.0")
    assert version is not None
    takes = tables.types.of("kv_cache_dtype", version)
    assert takes is not None
    without = {name for name in takes.choices if tables.platforms.cache_kernels(name, version) is None}
    assert without == {"auto", "float16"}
