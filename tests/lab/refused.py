# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of an inventory that the plan finds. tests/lab/served has all of them in one run, tests/unit/lab/test_refused.py each of them alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class PlanError:
    """What is changed in the inventory, and the words that the error must have."""

    words: list[str]
    service: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)


# The lab's own, see inventories/lab.
SIZES = {"tensor_parallel_size": 1, "max_model_len": 2048, "enforce_eager": True}

# Each in a service of its own, by the service's name.
REFUSED_BY_THE_PLAN: dict[str, PlanError] = {
    "unknown-entry": PlanError(
        service={"model": "qwen3-235b-a22b-instruct-2507-fp9"}, words=["qwen3-235b-a22b-instruct-2507-fp9", "qwen3-235b-a22b-instruct-2507-fp8"]
    ),
    "port-taken": PlanError(service={"port": 8019}, words=[]),
    "port-taken-too": PlanError(service={"port": 8019}, words=["8019", "port-taken on this host has the same port"]),
    "port-of-ssh": PlanError(service={"port": 22}, words=["22", "this is SSH's port"]),
    "unknown-argument": PlanError(service={"vllm_args": {"max_model_length": 2048}}, words=["max_model_length", "max_model_len"]),
    "no-such-gpu": PlanError(service={"gpus": [0, 9]}, words=["gpus", "9"]),
    "long-context": PlanError(service={"vllm_args": {**SIZES, "max_model_len": 300000}}, words=["max_model_len", "262144"]),
    "three-heads": PlanError(
        service={"gpus": [0, 1, 2], "vllm_args": {**SIZES, "tensor_parallel_size": 3}}, words=["tensor_parallel_size", "64 attention heads"]
    ),
    "unknown-key": PlanError(
        service={"vllm_args": {**SIZES, "compilation_config": {"cudagraph_mod": "NONE"}}}, words=["compilation_config", "cudagraph_mode"]
    ),
}
