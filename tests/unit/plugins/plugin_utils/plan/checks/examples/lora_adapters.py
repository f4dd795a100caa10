# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""LoRA adapters: names, ranks, what vLLM takes."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Answer
from example_builders import Inventory, accepting, example, one
from plan_builders import service

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def adapter(**more: Any) -> dict[str, Any]:
    """A service of qwen3-8b with one adapter, ours."""
    return service(model="qwen3-8b", adapters={"ours": {"repo": "org/lora", "revision": COMMIT}}, **more)


def config(**more: Any) -> dict[str, Answer]:
    """What an endpoint has of the adapter."""
    return {"org/lora": Answer(adapter={"peft_type": "LORA", "r": 8, "base_model_name_or_path": "Qwen/Qwen3-8B", **more})}


def served(name: str) -> Inventory:
    return one(adapter(served_model_name=name))


EXAMPLES = [
    example("adapters-have-an-engine", one(adapter(vllm_args={"enable_lora": False})), "remove it: adapters set it", one(adapter(vllm_args={}))),
    example("adapter-names-are-free", served("ours"), "change the service's served_model_name", served("qwen")),
    example(
        "adapter-names-are-free",
        one(adapter(vllm_args={"lora_modules": ["ours=/srv/a"]})),
        "keep one of the two",
        one(adapter(vllm_args={"lora_modules": None})),
    ),
    example("adapters-fit-max-lora-rank", one(adapter()), "max_lora_rank to 64", one(adapter(vllm_args={"max_lora_rank": 64})), answers=config(r=48)),
    example(
        "adapter-features-are-supported",
        one(adapter()),
        "name repo and revision of a plain LoRA adapter",
        one(service(model="qwen3-8b", adapters={"ours": {"repo": "org/plain", "revision": COMMIT[::-1]}})),
        answers=config(use_dora=True),
    ),
    example(
        "the-engine-finds-the-program-that-loads-adapters",
        one(adapter(secret_environment={"PYTHONPATH": "/srv/python"})),
        "move it to the service's environment",
        one(adapter(environment={"PYTHONPATH": "/srv/python"})),
    ),
    example(
        "adapter-base",
        one(adapter()),
        "accept adapter-base if the two have the same weights",
        accepting(one(adapter()), adapter_base="the same weights under another name"),
        answers=config(base_model_name_or_path="mistralai/Mistral-7B-v0.3"),
    ),
    example(
        "adapters-change-without-a-restart",
        one(adapter(vllm_version="0.31.0")),
        "0.32 does not",
        one(adapter(vllm_version="0.32.0")),
    ),
]
