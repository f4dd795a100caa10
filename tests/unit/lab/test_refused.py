# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each error of tests/lab/refused.py alone in an inventory: the plan reports that one and no other, in the words that the lab expects."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))

import planned  # noqa: E402
from refused import REFUSED_BY_THE_PLAN, SIZES  # noqa: E402

SERVICE: dict[str, Any] = {"model": "qwen3-235b-a22b-instruct-2507-fp8", "gpus": [0, 1, 2, 3], "api_key": "sk-lab", "vllm_args": SIZES}
# An error of two services.
TOGETHER = {"port-taken-too": ["port-taken"]}


@pytest.fixture(scope="module")
def planner() -> planned.Planner:
    return planned.Planner()


@pytest.mark.parametrize("name", [name for name, error in REFUSED_BY_THE_PLAN.items() if error.words])
def test_one_clear_error(planner: planned.Planner, name: str) -> None:
    """It names the service; its words are in the error itself."""
    names = [*TOGETHER.get(name, []), name]
    # Two services share no GPU.
    gpus = {other: [{"gpus": [number]}, {}][len(names) == 1] for number, other in enumerate(names)}
    services = [{**SERVICE, "name": other, "port": 8001, **gpus[other], **REFUSED_BY_THE_PLAN[other].service} for other in names]
    # The lab's CPU build, so that the memory of GPUs does not count.
    host = {"vllm_version": f"{planned.VERSION}+cpu", "plan_gpus": [{**planned.GPU, "index": index} for index in range(4)], "plan_check_disk": False}
    [error] = planner.plan({"gpu1": {"model_services": services, **host}}).errors
    said = f"{error.service} {error.key} {error.value} {error.why} {error.fix}"
    assert error.service == name and [word for word in REFUSED_BY_THE_PLAN[name].words if word not in said] == [], said
