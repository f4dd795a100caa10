# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objectives as users write them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import InvalidValue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import objectives


def test_all_of_them() -> None:
    assert objectives.read({"ttft_seconds": 2, "ttft_ratio": "0.99", "queue_seconds": 0.5, "queue_ratio": None, "error_ratio": 0.001}) == {
        "ttft_seconds": 2.0, "ttft_ratio": 0.99, "queue_seconds": 0.5, "error_ratio": 0.001,
    }
    assert objectives.read({}) == {}


@pytest.mark.parametrize(
    ("given", "why", "fix"),
    [
        ({"ttft": 2}, "there is no objective ttft", "did you mean ttft_"),
        ({"ttft_seconds": 0}, "not between 0 and 3600 seconds", "such as 2 or 0.5"),
        ({"ttft_seconds": 99999}, "not between 0 and 3600 seconds", "such as 2"),
        ({"queue_seconds": "fast"}, "is not a number", "queue_seconds: 1"),
        ({"error_ratio": 99}, "not between 0 and 1", "such as 0.001"),
        ({"ttft_seconds": 1, "ttft_ratio": 99}, "not between 0 and 1", "such as 0.99"),
        ({"error_ratio": float("nan")}, "not between 0 and 1", "such as 0.001"),
        ({"error_ratio": True}, "is not a number", "error_ratio: 0.001"),
        ({"queue_ratio": 0.9}, "has no meaning without queue_seconds", "set queue_seconds too"),
        ([1], "", ""),
    ],
)
def test_wrong_ones(given: Any, why: str, fix: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        objectives.read(given)
    assert why in raised.value.why and fix in raised.value.fix
