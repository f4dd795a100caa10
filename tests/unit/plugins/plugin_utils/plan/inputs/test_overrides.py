# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run says of one service over the inventory, and the key that comes from outside it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.credential_key import apply_key, takes_it
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.overrides import OF_THE_MODEL, VARIABLES, apply_overrides
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import EVERYWHERE, HostInput, Run
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.services import UNREADABLE
from plan_builders import service

SECRET = "s3cr3t-of-the-test"


def host(*services: Any, name: str = "gpu1", **variables: Any) -> HostInput:
    """A host with these services and variables."""
    return HostInput(name, {"model_services": list(services), **variables})


def laid(found: HostInput) -> list[Any]:
    """The services of a host."""
    return list(found.variables["model_services"])


@pytest.mark.parametrize(("variable", "value", "key", "meant"), [
    ("plan_service_model", "qwen3-0.6b", "model", "qwen3-0.6b"),
    ("plan_service_model", " Qwen/Qwen3-0.6B ", "model", "Qwen/Qwen3-0.6B"),
    ("plan_service_vllm_version", "0.31.0", "vllm_version", "0.31.0"),
    ("plan_service_port", 9000, "port", 9000),
    ("plan_service_port", "9000", "port", 9000),
    # What a form with several choices sends, and what the command line does.
    ("plan_service_gpus", ["2", "3"], "gpus", [2, 3]),
    ("plan_service_gpus", "2,3", "gpus", [2, 3]),
    ("plan_service_gpus", "0", "gpus", [0]),
    ("plan_service_gpus", [1], "gpus", [1]),
    ("plan_service_max_model_len", 4096, "vllm_args", {"max_num_seqs": 8, "max_model_len": 4096}),
])
def test_answers(variable: str, value: Any, key: str, meant: Any) -> None:
    """An answer replaces what the inventory says, and is reported."""
    [found] = apply_overrides([host(service(vllm_args={"max_num_seqs": 8}), **{variable: value})], EVERYWHERE)
    assert found.errors == ()
    assert laid(found)[0][key] == meant
    [warning] = found.warnings
    assert warning.service == "qwen" and "uses the inventory again" in warning.text


@pytest.mark.parametrize("variables", [
    {},
    dict.fromkeys(VARIABLES, ""),
    dict.fromkeys(VARIABLES),
    {"plan_service_gpus": [], "plan_service_port": 0, "plan_service_max_model_len": "0"},
    {"plan_service_name": "qwen"},
    # The very words of the inventory.
    {"plan_service_port": 8001, "plan_service_gpus": ["0", "1", "2", "3"]},
])
def test_nothing_answered(variables: dict[str, Any]) -> None:
    """What is empty, or says what the inventory says, changes nothing and is not reported."""
    [found] = apply_overrides([host(service(), **variables)], EVERYWHERE)
    assert (laid(found), found.errors, found.warnings) == ([service()], (), ())


@pytest.mark.parametrize(("variable", "value", "word"), [
    ("plan_service_port", "80a", "whole number"),
    ("plan_service_port", 70000, "outside"),
    ("plan_service_port", True, "true or false"),
    ("plan_service_port", False, "true or false"),
    ("plan_service_gpus", "first", "whole number"),
    ("plan_service_gpus", 0, "list of GPU numbers"),
    ("plan_service_max_model_len", -1, "outside"),
    ("plan_service_model", "two words", "white space"),
    ("plan_service_vllm_version", "newest", "version"),
    ("plan_service_vllm_version", 0.32, "number"),
    ("plan_service_name", 7, "not text"),
    ("plan_service_name", "gwen", "no host of this run"),
])
def test_bad_answers(variable: str, value: Any, word: str) -> None:
    """What cannot be understood is an error of its own key, and leaves the service as it was."""
    [found] = apply_overrides([host(service(), **{variable: value})], EVERYWHERE)
    [error] = found.errors
    assert error.key == variable and word in error.why
    assert laid(found) == [service()] and found.warnings == ()


def test_all_errors_at_once() -> None:
    """One bad answer does not hide another."""
    [found] = apply_overrides([host(service(), plan_service_name="gwen", plan_service_port="x", plan_service_gpus="y")], EVERYWHERE)
    assert [error.key for error in found.errors] == ["plan_service_port", "plan_service_gpus", "plan_service_name"]
    assert "did you mean qwen" in found.errors[2].fix


def test_two_services_need_a_name() -> None:
    """An answer that could be about either is refused, with their names; named, the other one stays."""
    both = (service(), service(name="glm", port=8002))
    [found] = apply_overrides([host(*both, plan_service_port=9000)], EVERYWHERE)
    assert [error.key for error in found.errors] == ["plan_service_name"] and "glm, qwen" in found.errors[0].why
    [found] = apply_overrides([host(*both, plan_service_port=9000, plan_service_name="glm")], EVERYWHERE)
    assert found.errors == () and [item["port"] for item in laid(found)] == [8001, 9000]


def test_two_hosts_count_together() -> None:
    """The one service is that of all hosts of the run, whoever has it; hosts beyond the limit neither count nor change."""
    answers = {"plan_service_port": 9000}
    same = [host(service(), name=name, **answers) for name in ("gpu1", "gpu2")]
    assert [laid(found)[0]["port"] for found in apply_overrides(same, EVERYWHERE)] == [9000, 9000]
    other = [host(service(), **answers), host(service(name="glm"), name="gpu2", **answers)]
    assert all(found.errors for found in apply_overrides(other, EVERYWHERE))
    limited = apply_overrides(other, Run(frozenset({"gpu1"})))
    assert [laid(found)[0]["port"] for found in limited] == [9000, 8001] and not any(found.errors for found in limited)


def test_a_service_that_goes_is_none() -> None:
    """What is absent cannot be meant, and does not make the other one ambiguous."""
    gone = {"name": "old", "state": "absent"}
    [found] = apply_overrides([host(service(), gone, plan_service_port=9000)], EVERYWHERE)
    assert found.errors == () and laid(found) == [service(port=9000), gone]
    [found] = apply_overrides([host(service(), gone, plan_service_name="old")], EVERYWHERE)
    assert [error.key for error in found.errors] == ["plan_service_name"]


def test_another_model() -> None:
    """What belongs to the inventory's model goes with it, and that is said; the same model keeps it."""
    own = service(revision="a" * 40, profile="4xh100", weights_path="/mnt/qwen", vllm_args={"max_num_seqs": 8})
    [found] = apply_overrides([host(own, plan_service_model="qwen3-0.6b")], EVERYWHERE)
    assert laid(found) == [service(model="qwen3-0.6b", vllm_args={"max_num_seqs": 8})]
    assert "without profile, revision, weights_path" in found.warnings[0].text
    [found] = apply_overrides([host(own, plan_service_model=own["model"])], EVERYWHERE)
    assert laid(found) == [own]
    assert set(OF_THE_MODEL) >= {"revision", "weights_path"}


@pytest.mark.parametrize("services", [[UNREADABLE], ["text"], [{"model": "x"}], None, "text", {"a": 1}])
def test_services_that_are_none(services: Any) -> None:
    """What is wrong with the services is for the plan's own words."""
    [found] = apply_overrides([HostInput("gpu1", {"model_services": services, "plan_service_port": 9000})], EVERYWHERE)
    assert found.variables["model_services"] == services and found.errors == ()


def test_arguments_that_are_none() -> None:
    """An inventory's error stays the inventory's error."""
    [found] = apply_overrides([host(service(vllm_args="--x"), plan_service_max_model_len=4096)], EVERYWHERE)
    assert laid(found) == [service(vllm_args="--x")]


@pytest.mark.parametrize(("own", "takes"), [
    ({}, True),
    ({"api_key": "own"}, False),
    ({"api_key": ""}, False),
    ({"engine": "transformers"}, False),
    ({"state": "absent"}, False),
])
def test_key_of_the_credential(own: dict[str, Any], takes: bool) -> None:
    """It is for services that ask for a key and name none."""
    before = service(**own)
    assert takes_it(before) is takes
    [after] = laid(apply_key(host(before, model_service_credential_api_key=SECRET)))
    # The plan learns that there is a key, and not which.
    assert (bool(after.get("api_key")), SECRET in str(after)) == (takes, False) if takes else after == before
    assert laid(apply_key(host(before, model_service_credential_api_key=""))) == [before]
