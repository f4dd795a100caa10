# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventories with an error: each stops with one clear error, and the service that runs is not touched."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from refused import REFUSED_BY_THE_PLAN, SIZES, PlanError


ERRORS = {
    "a repository that is not there": PlanError(service={"model": "nobody/no-such-model"}, words=["nobody/no-such-model"]),
    "a version that does not exist": PlanError(variables={"vllm_version": "0.99.0+cpu"}, words=["0.99.0"]),
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
    done = play(variables={"model_services": [{**service, **error.service}], **error.variables})
    assert done.status != 0, done.output
    assert done.output.count("[ERROR]:") + done.output.count("fatal: [") <= 2, done.output
    missing = [word for word in error.words if word not in done.output]
    assert not missing, f"the error does not say {missing}:\n{done.output}"
    assert "Traceback" not in done.output
    assert unit.main_pid == before != "0", unit.journal()
    assert unit.show("NRestarts") == "0"


def blocks(output: str) -> list[str]:
    """The errors of a plan, each on one line."""
    return [" ".join(block.split()) for block in re.split(r"\n\s*error \d+\n", output)[1:]]


def test_all_errors_come_at_once(play: Callable[..., Any], unit: Any, service: dict[str, Any]) -> None:
    """Every error of the inventory in one run; each names its service and says what is wrong."""
    before = unit.main_pid
    services = [{**service, "name": name, "port": 8010 + number, **error.service} for number, (name, error) in enumerate(REFUSED_BY_THE_PLAN.items())]
    done = play(variables={"model_services": services})
    assert done.status != 0 and "nothing was changed" in done.output, done.output
    found = blocks(done.output)
    missing = {
        name: error.words for name, error in REFUSED_BY_THE_PLAN.items()
        if error.words and not any(f"service: {name} key:" in block and all(word in block for word in error.words) for block in found)
    }
    assert not missing, f"{missing}\n{done.output}"
    assert unit.main_pid == before != "0" and unit.show("NRestarts") == "0", unit.journal()


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
