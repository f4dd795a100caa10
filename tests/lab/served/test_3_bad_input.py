# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventories with an error: each stops with one clear error, and the service that runs is not touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class PlanError:
    """What is changed in the inventory, and the words that the error must have."""

    words: list[str]
    service: dict[str, Any] = field(default_factory=dict)
    second: dict[str, Any] | None = None
    variables: dict[str, Any] = field(default_factory=dict)


# The lab's own, see inventories/lab.
SIZES = {"tensor_parallel_size": 1, "max_model_len": 2048, "enforce_eager": True}

ERRORS = {
    "unknown entry": PlanError(
        service={"model": "qwen3-235b-a22b-instruct-2507-fp9"}, words=["qwen3-235b-a22b-instruct-2507-fp9", "qwen3-235b-a22b-instruct-2507-fp8"]
    ),
    "two services on one port": PlanError(
        second={"name": "other", "model": "qwen3-235b-a22b-instruct-2507-fp8", "port": 8001}, words=["8001", "qwen3-235b", "other"]
    ),
    "SSH's port": PlanError(service={"port": 22}, words=["22", "this is SSH's port"]),
    "an argument vLLM does not know": PlanError(service={"vllm_args": {"max_model_length": 2048}}, words=["max_model_length", "max_model_len"]),
    "a GPU that is not there": PlanError(service={"gpus": [0, 9]}, words=["gpus", "9"]),
    "a repository that is not there": PlanError(service={"model": "nobody/no-such-model"}, words=["nobody/no-such-model"]),
    "a version that does not exist": PlanError(variables={"vllm_version": "0.99.0+cpu"}, words=["0.99.0"]),
    "a context longer than the model's": PlanError(service={"vllm_args": {**SIZES, "max_model_len": 300000}}, words=["max_model_len", "262144"]),
    "tensor parallel that does not divide the heads": PlanError(
        service={"gpus": [0, 1, 2], "vllm_args": {**SIZES, "tensor_parallel_size": 3}}, words=["tensor_parallel_size", "64 attention heads"]
    ),
    "a key that a flag's dictionary does not have": PlanError(
        service={"vllm_args": {**SIZES, "compilation_config": {"cudagraph_mod": "NONE"}}}, words=["compilation_config", "cudagraph_mode"]
    ),
    # The plan cannot know these: the installed release's own code refuses them, on the model's own files.
    "a tool parser that does not go with the tokenizer": PlanError(
        service={"vllm_args": {**SIZES, "tool_call_parser": "mistral"}}, words=["tool_call_parser mistral", "tokenizer", "No service was touched"]
    ),
    "a quantisation that the weights do not have": PlanError(
        service={"vllm_args": {**SIZES, "quantization": "awq"}}, words=["awq", "the weights are quantised as", "remove quantization"]
    ),
    "no room for the weights": PlanError(
        service={"model": "Qwen/Qwen3-235B-A22B-Thinking-2507-FP8"}, variables={"weights_disk_reserve": 10**16}, words=["weights", "free"]
    ),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_refused(error: PlanError, play: Callable[..., Any], unit: Any, service: dict[str, Any]) -> None:
    """One host says why, in words that name the error; nobody's process id changes."""
    before = unit.main_pid
    services = [{**service, **error.service}] + ([error.second] if error.second else [])
    done = play(variables={"model_services": services, **error.variables})
    assert done.status != 0, done.output
    assert done.output.count("[ERROR]:") + done.output.count("fatal: [") <= 2, done.output
    missing = [word for word in error.words if word not in done.output]
    assert not missing, f"the error does not say {missing}:\n{done.output}"
    assert "Traceback" not in done.output
    assert unit.main_pid == before != "0", unit.journal()
    assert unit.show("NRestarts") == "0"


def test_all_errors_come_at_once(play: Callable[..., Any], service: dict[str, Any]) -> None:
    """Three errors, one run."""
    wrong = {**service, "model": "no-such-entry", "gpus": [9], "vllm_args": {"no_such_flag": 1}}
    done = play(variables={"model_services": [wrong]})
    assert [word for word in ("no-such-entry", "gpus", "no_such_flag") if word not in done.output] == [], done.output


def test_inventory_is_fine_again(play: Callable[..., Any], unit: Any) -> None:
    """After all that, the true inventory clears away what the failed build left, and then finds nothing to do."""
    before = unit.main_pid
    done = play()
    assert done.status == 0, done.output
    assert unit.host.run("systemctl --failed --no-legend").stdout == ""
    done = play()
    assert done.status == 0, done.output
    assert [counts["changed"] for counts in done.recap.values()] == [0] * len(done.recap), done.output
    assert unit.main_pid == before
