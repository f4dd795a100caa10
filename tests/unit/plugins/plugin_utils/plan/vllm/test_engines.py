# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services on Transformers: what the plan makes of them, and what it says they cannot do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import host_facts, keys_of, service

Plans = Callable[..., Plan]

MODEL = "/var/lib/inferops/models/Qwen--Qwen3-0.6B/c1899de289a04d12100db370d81485cdf75e47ca"
CACHE = "/var/cache/inferops/dev"


def developers(**keys: Any) -> dict[str, Any]:
    return service(**{"name": "dev", "model": "qwen3-0.6b", "engine": "transformers", "gpus": [0], **keys})


def test_the_document(plan: Plans) -> None:
    """The same unit, gate and weights; its own release, command, environment, and the name by a link."""
    host = plan(developers(transformers_args={"dtype": "float32", "compile": True, "device": None}), facts=host_facts()).hosts["gpu1"]
    [release], [made] = host["releases"], host["services"]
    assert release["name"].startswith("transformers-5.19.0-")
    assert (release["engine"], release["package"]) == ("transformers", "transformers[serving]")
    assert release["requirements"] == ["torch==2.13.0", "requests==2.34.2"] and release["verify_commands"] == []
    assert (made["engine"], made["unit"], made["served_model_name"], made["memory"]) == ("transformers", "vllm-dev.service", "dev", None)
    assert made["argv"] == [
        f"{release['path']}/bin/transformers", "serve", "dev", "--host=0.0.0.0", "--port=8001", "--compile", "--dtype=float32",
    ]
    assert made["environment"]["HF_HUB_OFFLINE"] == "1" and made["environment"]["CUDA_VISIBLE_DEVICES"] == "0"
    assert not [name for name in made["environment"] if name.startswith("VLLM_")]
    assert ["/bin/ln", "-s", MODEL, f"{CACHE}/.cache/huggingface/hub/models--dev/snapshots/{MODEL.rpartition('/')[2]}"] in made["before_start"]


def test_engines_stand_side_by_side(plan: Plans) -> None:
    made = plan(service(gpus=[1, 2]), developers(port=8002), facts=host_facts())
    assert made.errors == []
    assert [name.split("-")[0] for name in (release["name"] for release in made.hosts["gpu1"]["releases"])] == ["vllm", "transformers"]


def test_its_limits_are_told_unless_accepted(plan: Plans) -> None:
    [told] = [text for text in plan(developers(), facts=host_facts()).warnings if "a single developer" in text]
    assert "one request at a time" in told
    accepted = plan(developers(), facts=host_facts(), plan_accept={"single-user": "it is mine", "open-port": "it is mine"})
    assert [text for text in accepted.warnings if "a single developer" in text] == []
    batching = plan(developers(transformers_args={"continuous_batching": True}), facts=host_facts())
    assert "one request at a time" not in " ".join(batching.warnings)


def test_a_key_needs_a_listener_on_loopback(plan: Plans) -> None:
    assert keys_of(plan(developers(api_key="sk-1"), facts=host_facts()).errors) == [("dev", "api_key")]
    behind = plan(developers(api_key="sk-1", host="127.0.0.1"), facts=host_facts())
    assert behind.errors == [] and any("does not check API keys: every user of the host" in text for text in behind.warnings)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"vllm_args": {"max_model_len": 1}}, "vllm_args"),
        ({"vllm_version": "0.32.0"}, "vllm_version"),
        ({"vllm_requirements": ["a==1"]}, "vllm_requirements"),
        ({"profile": "h100-4"}, "profile"),
        ({"distributed": {"nodes": 2}}, "distributed"),
        ({"engine": "vllm", "transformers_args": {"compile": True}}, "transformers_args"),
        ({"engine": "vllm", "transformers_version": "5.19.0"}, "transformers_version"),
        ({"engine": "llama.cpp"}, "engine"),
        ({"transformers_args": {"port": 1}}, "transformers_args.port"),
        ({"transformers_args": {"force_model": "x"}}, "transformers_args.force_model"),
        ({"transformers_args": {"--compile": True}}, "transformers_args.--compile"),
        ({"transformers_args": {"dtype": ["a", "b"]}}, "transformers_args.dtype"),
        ({"transformers_args": {"dtype": "a\nb"}}, "transformers_args.dtype"),
        ({"transformers_args": 5}, "transformers_args"),
        ({"transformers_version": 5.2}, "transformers_version"),
        ({"name": "a--b"}, "name"),
        ({"served_model_name": "org/model"}, "served_model_name"),
        ({"gpus": [9]}, "gpus"),
    ],
)
def test_refused(plan: Plans, keys: dict[str, Any], expected: str) -> None:
    errors = keys_of(plan(developers(**keys), facts=host_facts()).errors)
    assert expected in [key for _service, key in errors], errors


def test_processors_need_no_gpu(plan: Plans) -> None:
    """A host without GPUs is fine where torch, or the user, says that it computes on processors."""
    bare = host_facts(gpus=[])
    assert keys_of(plan(developers(gpus=...), facts=bare).errors) == [("dev", "gpus")]
    assert plan(developers(gpus=..., transformers_args={"device": "cpu"}), facts=bare).errors == []
    assert plan(developers(gpus=...), facts=bare, vllm_transformers_requirements=["torch==2.13.0+cpu", "requests==2.34.2"]).errors == []
