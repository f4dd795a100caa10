# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""LoRA adapters of a service: downloaded and pinned, in a file that the engine follows, or in its arguments where it cannot."""

from __future__ import annotations

import json

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan, questions, resolve
from plan_builders import gpus, service

MODELS = "/var/lib/inferops/models"
LORA, PIN, OTHER = "example/lora", "1" * 40, "2" * 40
FILE = "/etc/inferops/adapters/qwen.json"


@pytest.fixture(name="plan")
def _plan(defaults: dict[str, Any], catalogue: Any, tables: Any) -> Any:
    def plan(adapters: Any = None, **keys: Any) -> Plan:
        given = {"model": "qwen3-8b", "name": "qwen", "gpus": [0], **({} if adapters is None else {"adapters": adapters}), **keys}
        return resolve([HostInput("gpu1", {"model_services": [service(**given)], "plan_gpus": gpus()}, None)], defaults, catalogue, tables, {})

    return plan


def only(found: Plan) -> dict[str, Any]:
    assert found.errors == [], found.errors
    return dict(found.hosts["gpu1"]["services"][0])


def test_they_are_downloaded_and_in_the_file(plan: Any) -> None:
    found = plan({"ours": {"repo": LORA, "revision": PIN}, "b": {"repo": LORA, "revision": OTHER, "subfolder": "b/c"}})
    one = only(found)
    assert one["adapters"] == {"paths": {"b": f"{MODELS}/example--lora/{OTHER}/b/c", "ours": f"{MODELS}/example--lora/{PIN}"}, "static": [], "file": FILE}
    assert {(weights["repo"], weights["revision"]) for weights in found.hosts["gpu1"]["weights"]} >= {(LORA, PIN), (LORA, OTHER)}
    assert {extra["argument"] for extra in one["extra_repositories"]} == {"adapters.ours", "adapters.b"}
    assert "--enable-lora" in one["argv"] and not any("lora-modules" in word or LORA in word for word in one["argv"])
    position = one["argv"].index("--middleware")
    assert one["argv"][position + 1] == "inferops_gpu.lora_adapters.LoraAdapters"
    assert (one["environment"]["INFEROPS_LORA_ADAPTERS"], one["environment"]["PYTHONPATH"]) == (FILE, "/opt/inferops/lib/current")
    assert not any("not a commit" in warning for warning in found.warnings)


def test_a_change_of_adapters_changes_neither_unit_nor_digest(plan: Any) -> None:
    each = [only(plan(adapters)) for adapters in ({}, {"ours": {"repo": LORA, "revision": PIN}}, {"ours": {"repo": LORA, "revision": OTHER}})]
    assert all(one["digest"] == each[0]["digest"] and one["units"] == each[0]["units"] for one in each)
    assert [one["adapters"]["paths"] for one in each[:2]] == [{}, {"ours": f"{MODELS}/example--lora/{PIN}"}]


def test_without_the_key_nothing_of_it_is_there(plan: Any) -> None:
    one = only(plan())
    assert one["adapters"] == {"paths": {}, "static": [], "file": ""} and "PYTHONPATH" not in one["environment"]
    assert not any("lora" in word or "middleware" in word for word in one["argv"])


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"vllm_version": "0.31.0"}, "vLLM 0.31.0"),
        ({"vllm_args": {"middleware": ["ours.Middleware"]}}, "middleware of its own"),
        ({"environment": {"VLLM_USE_RUST_FRONTEND": 1}}, "VLLM_USE_RUST_FRONTEND"),
        ({"secret_environment": {"VLLM_USE_RUST_FRONTEND": 1}}, "VLLM_USE_RUST_FRONTEND"),
        ({"vllm_args": {"api_server_count": 2}}, "api_server_count: 1"),
        ({"gpus": [0, 1], "vllm_args": {"data_parallel_size": 2}}, "api_server_count: 1"),
    ],
)
def test_where_vllm_cannot_they_are_arguments(plan: Any, keys: dict[str, Any], says: str) -> None:
    found = plan({"ours": {"repo": LORA, "revision": PIN}}, **keys)
    one = only(found)
    position = one["argv"].index("--lora-modules")
    assert json.loads(one["argv"][position + 1]) == {"name": "ours", "path": f"{MODELS}/example--lora/{PIN}"}
    assert one["adapters"] == {"paths": {"ours": f"{MODELS}/example--lora/{PIN}"}, "static": [], "file": ""}
    assert "INFEROPS_LORA_ADAPTERS" not in one["environment"]
    assert [warning for warning in found.warnings if "each change of its adapters restarts it" in warning and says in warning]


def test_one_api_server_of_several_ranks_follows_the_file(plan: Any) -> None:
    one = only(plan({}, gpus=[0, 1], vllm_args={"data_parallel_size": 2, "api_server_count": 1}))
    assert one["adapters"]["file"] == FILE and "--lora-modules" not in one["argv"]


def test_beside_modules_and_a_path_of_the_user(plan: Any) -> None:
    keys = {"vllm_args": {"lora_modules": [{"name": "own", "path": "/srv/own"}]}, "environment": {"PYTHONPATH": "/srv/python"}}
    one = only(plan({"ours": {"repo": LORA, "revision": PIN}}, **keys))
    assert one["adapters"]["static"] == ["own"] and set(one["adapters"]["paths"]) == {"ours"}
    assert one["environment"]["PYTHONPATH"] == "/opt/inferops/lib/current:/srv/python"


def test_a_pin_of_the_repository_counts_without_one_of_the_adapter(plan: Any) -> None:
    one = only(plan({"a": {"repo": LORA}, "b": {"repo": LORA, "revision": OTHER}}, extra_repositories={LORA: PIN}))
    assert [one["adapters"]["paths"][name].rpartition("/")[2] for name in ("a", "b")] == [PIN, OTHER]
    found = plan({"a": {"repo": LORA}})
    assert [warning for warning in found.warnings if "adapters.a" in warning and "pin it with its revision" in warning]


def test_the_plan_asks_endpoints_about_them(defaults: dict[str, Any], catalogue: Any) -> None:
    given = service(model="qwen3-8b", adapters={"a": {"repo": LORA, "revision": OTHER}, "b": {"repo": LORA}, "bad": 5}, extra_repositories={LORA: PIN})
    asked = questions(HostInput("gpu1", {"model_services": [given]}, None), defaults, catalogue)
    assert {(question.repo, question.revision) for question in asked} == {(LORA, OTHER), (LORA, PIN)}


@pytest.mark.parametrize(
    ("adapters", "says"),
    [
        ([LORA], "a list"),
        ({"a": LORA}, "{a: {repo: <organisation>/<name>, revision: <commit>}}"),
        ({"a": {"revision": PIN}}, "a names no repository"),
        ({"a": {"repo": LORA, "revison": PIN}}, "did you mean revision"),
        ({"a": {"repo": "lora"}}, "a: "),
        ({"a": {"repo": LORA, "revision": "a b"}}, "a: "),
        ({"a": {"repo": LORA, "subfolder": "../b"}}, "the subfolder of a"),
        ({"a": {"repo": LORA, "subfolder": "/b"}}, "the subfolder of a"),
        ({"a b": {"repo": LORA}}, "the name 'a b'"),
        ({"-a": {"repo": LORA}}, "begins with a dash"),
    ],
)
def test_what_is_wrong_is_one_error(plan: Any, adapters: Any, says: str) -> None:
    found = plan(adapters)
    assert len(found.errors) == 1 and says in f"{found.errors[0].why}; {found.errors[0].fix}" and found.errors[0].key == "adapters", found.errors


def test_a_variable_that_opens_endpoints_is_refused(plan: Any) -> None:
    found = plan({}, environment={"VLLM_ALLOW_RUNTIME_LORA_UPDATING": 1})
    assert [error.key for error in found.errors] == ["environment.VLLM_ALLOW_RUNTIME_LORA_UPDATING"] and "adapters" in found.errors[0].fix


@pytest.mark.parametrize("key", ["environment", "secret_environment"])
def test_the_file_is_not_set_by_hand(plan: Any, key: str) -> None:
    found = plan({}, **{key: {"INFEROPS_LORA_ADAPTERS": "/srv/a.json"}})
    assert [error.key for error in found.errors] == [f"{key}.INFEROPS_LORA_ADAPTERS"] and "under the service's adapters" in found.errors[0].fix


def test_a_secret_path_of_an_engine_that_follows_no_file(plan: Any) -> None:
    """It has nothing to replace."""
    assert plan({}, vllm_args={"api_server_count": 2}, secret_environment={"PYTHONPATH": "/srv/python"}).errors == []


def test_a_model_without_lora(plan: Any) -> None:
    found = plan({"ours": {"repo": LORA, "revision": PIN}}, model="paddleocr-vl-1.6")
    assert [(error.key, error.why) for error in found.errors] == [("adapters", "vLLM 0.32.0 has no LoRA for PaddleOCRVLForConditionalGeneration")]
    assert plan({"ours": {"repo": LORA, "revision": PIN}}, model="paddleocr-vl-1.6", vllm_args={"model_impl": "transformers"}).errors == []
