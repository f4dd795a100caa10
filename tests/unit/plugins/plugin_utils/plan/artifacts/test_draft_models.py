# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A model that drafts tokens, from a repository of its own: its weights and its cache count, and it is cut like the served one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Answer
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.memory import GIB
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan, questions, resolve
from plan_builders import gpus, service

HEAD = "example/qwen3-8b-eagle3"
CONFIG = {
    "architectures": ["LlamaForCausalLMEagle3"], "model_type": "llama", "num_hidden_layers": 1, "hidden_size": 4096, "intermediate_size": 12288,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "dtype": "bfloat16",
}
A_TOKEN = 36 * 2 * 8 * 128 * 2
Drafted = Callable[..., Plan]


@pytest.fixture(name="drafted")
def _drafted(defaults: dict[str, Any], catalogue: Any, tables: Any) -> Drafted:
    def plan(speculative: Any, count: int = 1, size: int = 2 * GIB, config: Any = None, name: str = "model.safetensors", **given: Any) -> Plan:
        arguments = {"max_model_len": 8192, **({"speculative_config": speculative} if speculative else {}), **given}
        mine = service(model="qwen3-8b", gpus=list(range(count)), vllm_args=arguments)
        accepted = dict.fromkeys(("open-port", "key-scope", "cuda-compiler", "unchecked-values"), "of no matter here")
        host = HostInput("gpu1", {"model_services": [mine], "plan_gpus": gpus(), "plan_accept": accepted})
        answer = Answer(((name, size), ("config.json", 5)), CONFIG if config is None else config)
        return resolve([host], defaults, catalogue, tables, {question: answer for question in questions(host, defaults, catalogue)})

    return plan


def memory(found: Plan) -> dict[str, Any]:
    assert found.errors == [], found.errors
    return found.hosts["gpu1"]["services"][0]["memory"]


def spec(**keys: Any) -> dict[str, Any]:
    return {"method": "eagle3", "model": HEAD, "num_speculative_tokens": 3, **keys}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_weights_and_cache(drafted: Drafted, count: int) -> None:
    """Both are cut like the model's: one more layer of 36, and the head's share of the weights."""
    plain, with_head = memory(drafted(None, count)), memory(drafted(spec(), count))
    assert with_head["weights"] - plain["weights"] == 2 * GIB // count
    assert plain["kv_bytes_per_token"] == A_TOKEN // count and with_head["kv_bytes_per_token"] == A_TOKEN // count * 37 // 36
    assert with_head["kv_cache"] == pytest.approx(plain["kv_cache"] - 2 * GIB // count, rel=0.001)


def test_ways_of_naming_it(drafted: Drafted) -> None:
    """In JSON, by its member, by the flag of its own: the same."""
    plain, wanted = memory(drafted(None))["weights"], memory(drafted(spec()))["weights"]
    assert wanted > plain
    assert memory(drafted('{"method": "eagle3", "model": "%s", "num_speculative_tokens": 3}' % HEAD))["weights"] == wanted
    assert memory(drafted(None, spec_model=HEAD, spec_method="eagle3", spec_tokens=3))["weights"] == wanted


def test_what_the_catalogue_knows(drafted: Drafted, catalogue: Any) -> None:
    """A whole small model drafts: its layers are the catalogue's, whatever endpoints say."""
    plain, found = memory(drafted(None)), memory(drafted(spec(method="draft_model", model="Qwen/Qwen3-0.6B")))
    assert found["weights"] - plain["weights"] == pytest.approx(catalogue.entries["qwen3-0.6b"].bytes, rel=0.4)
    assert found["kv_bytes_per_token"] - plain["kv_bytes_per_token"] == 28 * 2 * 8 * 128 * 2


def test_its_own_type_of_cache(drafted: Drafted) -> None:
    """kv_cache_dtype of speculative_config is the head's alone."""
    assert memory(drafted(spec(kv_cache_dtype="fp8")))["kv_bytes_per_token"] == A_TOKEN + A_TOKEN // 36 // 2
    assert memory(drafted(spec(kv_cache_dtype="bfloat16"), kv_cache_dtype="fp8"))["kv_bytes_per_token"] == A_TOKEN // 2 + A_TOKEN // 36


def test_on_the_last_stage_alone(drafted: Drafted) -> None:
    plain, found = (drafted(config, 2, tensor_parallel_size=1, pipeline_parallel_size=2) for config in (None, spec()))
    sizes = [[stage["memory"]["weights"] for stage in made.hosts["gpu1"]["services"][0]["stages"]["stages"]] for made in (plain, found)]
    assert [after - before for before, after in zip(*sizes)] == [0, 2 * GIB]


def test_what_is_not_known_of_it(drafted: Drafted) -> None:
    """Without a config.json its size counts; layers that come with the model are counted elsewhere."""
    plain, found = memory(drafted(None)), memory(drafted(spec(), config={}, name="pytorch_model.bin"))
    assert found["weights"] - plain["weights"] == 2 * GIB + 5 and found["kv_bytes_per_token"] == plain["kv_bytes_per_token"]
    assert memory(drafted(spec(model="/srv/head")))["weights"] == plain["weights"]
    assert memory(drafted(spec(method="mtp")))["weights"] == plain["weights"]


def test_it_does_not_fit(drafted: Drafted) -> None:
    """The sum says what is the head's, and to leave it out is a fix."""
    [error] = drafted(spec(), size=64 * GIB).errors
    assert f"64.0 GiB of it for the draft model {HEAD}" in error.why and "remove speculative_config" in error.fix
    [error] = drafted(None, size=64 * GIB, spec_model=HEAD, spec_method="eagle3", spec_tokens=3).errors
    assert "remove spec_model, spec_method, spec_tokens" in error.fix


@pytest.mark.parametrize(
    ("count", "keys", "refused"),
    [
        (4, {"draft_tensor_parallel_size": 4}, False), (4, {"draft_tensor_parallel_size": 1}, False), (4, {"draft_tensor_parallel_size": 2}, True),
        (4, {"draft_tensor_parallel_size": 1, "method": "draft_model"}, True), (1, {"draft_tensor_parallel_size": 1, "method": "draft_model"}, False),
        (4, {}, False),
    ],
)
def test_its_parallel_size(drafted: Drafted, count: int, keys: dict[str, Any], refused: bool) -> None:
    found = [error.key for error in drafted(spec(**keys), count).errors]
    assert found == (["vllm_args.speculative_config.draft_tensor_parallel_size"] if refused else [])
