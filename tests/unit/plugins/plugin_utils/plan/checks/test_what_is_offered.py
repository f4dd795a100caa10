# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole of what an error offers: every fix that works, and no other. And findings that are to be there once, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from plan_builders import gpus, keys_of, service
from test_gpu_rules import Plans, on

L4 = {"name": "NVIDIA L4", "memory_bytes": 24576 * 2**20, "compute_capability": "8.9"}

# A service, its GPUs, and the fixes.
OFFERS: list[tuple[str, dict[str, Any], list[dict[str, Any]], list[str]]] = [
    (
        "a context that half of the cache or two GPUs would take",
        on("qwen3-32b", 1, {"max_model_len": 40960}),
        gpus(1),
        ["set max_model_len to 30384 or less", "halve the KV cache with kv_cache_dtype: fp8", "use 2 such GPUs (tensor_parallel_size 2)", "serve qwen3-32b-fp8"],
    ),
    (
        "a context for which half of the cache is not enough and the rest of the GPU is",
        on("qwen3-32b", 1, {"max_model_len": 36000, "gpu_memory_utilization": 0.88}),
        gpus(1),
        [
            "set max_model_len to 17424 or less", "set gpu_memory_utilization to 0.95", "use 2 such GPUs (tensor_parallel_size 2)", "serve qwen3-32b-fp8",
        ],
    ),
    ("weights that no setting makes fit", on("glm-4.7-fp8", 4), gpus(4), ["use 8 such GPUs (tensor_parallel_size 8)"]),
    ("weights for four hosts", on("qwen3-235b-a22b", 8), gpus(8, **L4), ["use 32 such GPUs (tensor_parallel_size 8 x pipeline_parallel_size 4)"]),
]


@pytest.mark.parametrize(("one", "there", "fixes"), [case[1:] for case in OFFERS], ids=[case[0] for case in OFFERS])
def test_fixes_of_too_little_memory(plan: Plans, one: dict[str, Any], there: list[dict[str, Any]], fixes: list[str]) -> None:
    [error] = plan(one, plan_gpus=there).errors
    assert error.fix == "; or ".join([*fixes, "accept it as memory in plan_accept, with a reason"])


def test_of_smaller_sizes_the_largest_is_offered(plan: Plans) -> None:
    """Forty heads on six GPUs."""
    [error] = plan(on("qwen3-14b", 6), plan_gpus=gpus(8)).errors
    assert error.fix == "use all 6 GPUs with tensor_parallel_size: 2 and pipeline_parallel_size: 3; or set tensor_parallel_size to 4"


def test_a_reasoning_parser_is_checked_without_a_tool_parser(plan: Plans) -> None:
    made = plan(on("qwen3-0.6b", 1, {"reasoning_parser": "qwen4", "tool_call_parser": None, "enable_auto_tool_choice": None}))
    assert keys_of(made.errors) == [("qwen", "vllm_args.reasoning_parser")] and made.errors[0].fix == "did you mean qwen3?"


def test_gpus_alike_are_one_error(plan: Plans) -> None:
    """Two that are too old, and two that are too new for the chosen CUDA."""
    assert keys_of(plan(on("qwen3-8b", 2), plan_gpus=gpus(2, compute_capability="6.1")).errors) == [("qwen", "gpus")]
    new = plan(on("qwen3-8b", 2), plan_gpus=gpus(2, compute_capability="10.0"), vllm_torch_backend="cu126")
    assert keys_of(new.errors) == [("qwen", "gpus")]


def test_an_open_port_is_one_whatever_engine_serves(plan: Plans) -> None:
    one = service(name="dev", model="qwen3-0.6b", engine="transformers", gpus=[0])
    assert [warning for warning in plan(one, plan_accept={}).warnings if "[open-port]" in warning]
