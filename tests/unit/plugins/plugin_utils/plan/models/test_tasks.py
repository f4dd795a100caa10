# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service is there for, from whoever says so."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models import tasks
from plan_builders import service


def planned(plan: Any, **keys: Any) -> dict[str, Any]:
    found = plan(service(**keys))
    assert found.errors == [], found.errors
    return found.hosts["gpu1"]["services"][0]


RERANKER = {"architectures": ["Qwen3ForSequenceClassification"], "is_original_qwen3_reranker": True}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "chat"),
        # Nothing is known of it: found by what it answers.
        ({"model": "some/model"}, "auto"),
        ({"model": "some/model", "task": "completion"}, "completion"),
        ({"task": "completion"}, "completion"),
        ({"model": "some/model", "vllm_args": {"runner": "pooling"}}, "auto"),
        ({"model": "some/model", "vllm_args": {"runner": "pooling", "hf_overrides": RERANKER}}, "score"),
        ({"model": "some/model", "vllm_args": {"convert": "embed"}}, "embedding"),
        ({"model": "some/model", "vllm_args": {"convert": "classify"}}, "classify"),
        # The user's word counts most.
        ({"model": "some/model", "task": "rerank", "vllm_args": {"runner": "pooling", "hf_overrides": RERANKER}}, "rerank"),
        ({"model": "some/model", "engine": "transformers"}, "chat"),
        # What the entries of the catalogue are for, whatever class their own overrides name.
        ({"model": "qwen3-reranker-0.6b"}, "rerank"),
        ({"model": "qwen3-embedding-0.6b"}, "embedding"),
        ({"model": "bge-reranker-v2-m3"}, "rerank"),
    ],
)
def test_task(plan: Any, keys: dict[str, Any], expected: str) -> None:
    assert planned(plan, **keys)["task"] == expected


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ("transcribtion", "transcription"),
        ("embed", "write embedding"),
        ("generate", "write chat"),
        ("text-ranking", "write rerank"),
        (7, "chat, completion"),
        ([], ""),
    ],
)
def test_a_task_that_there_is_not_is_told_with_those_that_there_are(plan: Any, value: Any, fix: str) -> None:
    errors = plan(service(task=value)).errors
    assert [error.key for error in errors] == ["task"] and fix in errors[0].fix


def test_every_task_can_be_written(plan: Any) -> None:
    for task in tasks.TASKS:
        assert planned(plan, model="some/model", task=task)["task"] == task


@pytest.mark.parametrize(("task", "runs"), [("embedding", True), ("rerank", True), ("pooling", True), ("completion", False), ("transcription", False)])
def test_a_pooler_is_run_as_one(plan: Any, task: str, runs: bool) -> None:
    """Of many such models the class is that of a model that makes text, and vLLM would serve that."""
    assert ("--runner=pooling" in planned(plan, model="some/model", task=task)["argv"]) == runs


@pytest.mark.parametrize("given", [{"runner": "generate"}, {"convert": "embed"}, {"runner": None}])
def test_what_the_user_says_of_it_stays(plan: Any, given: dict[str, Any]) -> None:
    assert "--runner=pooling" not in planned(plan, model="some/model", task="embedding", vllm_args=given)["argv"]


@pytest.mark.parametrize(
    ("config", "files", "expected"),
    [
        # As they stand in public repositories: Qwen3-Embedding-8B, bge-m3, bge-reranker-v2-m3, a classifier of prompts, whisper-large-v3, a reward model,
        # a chat model of today, a base model.
        ({"architectures": ["Qwen3ForCausalLM"]}, ["modules.json", "1_Pooling/config.json", "tokenizer_config.json"], "embedding"),
        ({"architectures": ["XLMRobertaModel"]}, ["modules.json"], "embedding"),
        ({"architectures": ["XLMRobertaForSequenceClassification"], "id2label": {"0": "LABEL_0"}}, [], "score"),
        ({"architectures": ["DebertaV2ForSequenceClassification"], "id2label": {"0": "benign", "1": "jailbreak"}}, [], "classify"),
        ({"architectures": ["WhisperForConditionalGeneration"]}, [], "transcription"),
        ({"architectures": ["Qwen2ForRewardModel"]}, [], "pooling"),
        ({"architectures": ["Qwen3ForCausalLM"]}, ["chat_template.jinja"], "chat"),
        ({"architectures": ["LlamaForCausalLM"]}, ["tokenizer_config.json"], ""),
        ({"architectures": ["GPT2LMHeadModel"]}, [], ""),
        ({"architectures": ["ChatGLMModel"]}, [], "embedding"),
        ({"architectures": ["QWenLMHeadModel"]}, [], ""),
        ({"architectures": []}, [], ""),
        ({"architectures": "x"}, [], ""),
        ({"architectures": [None]}, [], ""),
        (None, [], ""),
        ([], ["modules.json"], "embedding"),
    ],
)
def test_a_models_own_files_tell(config: Any, files: list[str], expected: str) -> None:
    assert tasks.of_files(config, files) == expected


@pytest.mark.parametrize(
    ("model", "thinking", "switch"),
    [
        ("qwen3-8b", "hybrid", "enable_thinking"),
        ("deepseek-v3.1", "hybrid", "thinking"),
        ("mistral-medium-3.5-128b", "hybrid", ""),
        ("qwq-32b", "always", ""),
        ("example-org/gpt-oss-120b", "", ""),
    ],
)
def test_how_a_model_thinks(plan_hosts: Any, plan: Any, model: str, thinking: str, switch: str) -> None:
    """A hybrid's switch is its own, if its tokenizer takes one; of a model that nobody knows nothing is said."""
    found = plan(service(model=model, vllm_args={"reasoning_parser": "openai_gptoss"} if "gpt-oss" in model else {}))
    one = {row["name"]: row for row in found.hosts.get("gpu1", {}).get("services", [])}.get("qwen")
    assert one is not None, found.errors
    assert (one["thinking"], one["thinking_switch"]) == (thinking, switch)
