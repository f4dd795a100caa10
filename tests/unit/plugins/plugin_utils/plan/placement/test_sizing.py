# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inputs of the memory estimate, from the arguments of a service."""

from __future__ import annotations

from typing import Any

import pytest

from plan_builders import gpus, host_facts, service

GIB = 2**30
H200 = gpus(2, name="NVIDIA H200", memory_bytes=140 * GIB, compute_capability="9.0")


def requests(plan: Any, **keys: Any) -> float:
    """How many requests of 131072 tokens the plan finds room for, in 20 GiB of cache."""
    given = {"kv_cache_memory_bytes": 20 * GIB, "max_num_batched_tokens": 8192, "max_model_len": 131072, **keys.pop("vllm_args", {})}
    made = plan(service(model="gemma-3-27b-it", gpus=[0, 1], vllm_args=given, **keys), facts=host_facts(gpus=H200))
    assert made.errors == [], made.errors
    [one] = made.hosts["gpu1"]["services"]
    return float(one["memory"]["concurrency"])


@pytest.mark.parametrize(
    ("keys", "batches"),
    [
        ({}, 2),
        ({"vllm_args": {"async_scheduling": False}}, 1),
        ({"vllm_version": "0.25.0"}, 1),
        ({"vllm_args": {"tensor_parallel_size": 1, "pipeline_parallel_size": 2}}, 3),
    ],
)
def test_batches_that_run_at_the_same_time(plan: Any, keys: dict[str, Any], batches: int) -> None:
    """A layer with a window keeps their tokens as well."""
    piped = "pipeline_parallel_size" in keys.get("vllm_args", {})
    heads, full, windowed = (16, 5, 30) if piped else (8, 10, 60)
    layer = heads * 2 * 128 * 2
    tokens = (-(-(1023 + batches * 8192) // 16) + 1) * 16
    assert requests(plan, **keys) == pytest.approx(20 * GIB / (layer * (full * 131072 + windowed * tokens)), rel=0.02)
