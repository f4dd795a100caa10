# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A model under several names in the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import service

Plans = Callable[..., Plan]

NAMES = ["gpt-4o", "qwen3-8b"]


@pytest.mark.parametrize(
    "more",
    [
        {"served_model_name": NAMES}, {"vllm_args": {"served_model_name": NAMES}}, {"vllm_args": {"served-model-name": NAMES}},
        {"served_model_name": NAMES, "vllm_args": {"served_model_name": NAMES}}, {"served_model_name": NAMES, "vllm_args": {"served_model_name": None}},
    ],
    ids=str,
)
def test_several_names(plan: Plans, more: dict[str, Any]) -> None:
    """All of them go to vLLM, as its flag takes them, and the first is the one that is asked and reported."""
    made = plan(service(**more))
    assert made.errors == []
    [found] = made.hosts["gpu1"]["services"]
    at = found["argv"].index("--served-model-name")
    assert found["argv"][at + 1:at + 3] == NAMES and found["argv"][at + 3].startswith("--")
    assert found["served_model_name"] == "gpt-4o" and found["served_model_names"] == NAMES


@pytest.mark.parametrize("more", [{"served_model_name": "one"}, {"served_model_name": ["one"]}, {"vllm_args": {"served_model_name": "one"}}], ids=str)
def test_one_name_is_written_as_ever(plan: Plans, more: dict[str, Any]) -> None:
    """So that no unit changes."""
    [found] = plan(service(**more)).hosts["gpu1"]["services"]
    assert "--served-model-name=one" in found["argv"] and found["served_model_name"] == "one" and found["served_model_names"] == ["one"]


def test_without_a_name(plan: Plans) -> None:
    [found] = plan(service()).hosts["gpu1"]["services"]
    assert found["served_model_name"] == "qwen" and found["served_model_names"] == ["qwen"] and "--served-model-name=qwen" in found["argv"]


@pytest.mark.parametrize(
    ("more", "key", "words"),
    [
        ({"served_model_name": []}, "served_model_name", "empty"), ({"served_model_name": ["a", "a"]}, "served_model_name", "repeated"),
        ({"served_model_name": ["a", "-b"]}, "served_model_name", "dash"), ({"served_model_name": "a b"}, "served_model_name", "white space"),
        ({"served_model_name": ["a", 5]}, "served_model_name", "whole number"), ({"vllm_args": {"served_model_name": []}}, "served_model_name", "empty"),
        ({"served_model_name": "a", "vllm_args": {"served_model_name": "b"}}, "vllm_args.served_model_name", "is a"),
        ({"engine": "transformers", "served_model_name": ["a", "b"]}, "served_model_name", "one name"),
    ],
    ids=str,
)
def test_names_that_cannot_be(plan: Plans, more: dict[str, Any], key: str, words: str) -> None:
    errors = plan(service(**more)).errors
    assert [error.key for error in errors] == [key] and words in errors[0].why and errors[0].fix
