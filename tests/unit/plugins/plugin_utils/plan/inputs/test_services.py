# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services as users write them, rightly and wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.services import read_all
from plan_builders import keys_of, service

FLAGS = frozenset({"max_model_len"})
SECRET = "s3cr3t"


def test_a_whole_service() -> None:
    """Every key is read."""
    whole = service(
        vllm_args={"max_model_len": 5, "seed": None},
        environment={"A": 1, "B": None},
        secret_environment={"C": SECRET},
        api_key=SECRET,
        served_model_name="other/name",
        host="10.0.0.1",
        revision="main",
        vllm_version="0.31.0",
        state="present",
    )
    [read], errors = read_all("gpu1", [whole], FLAGS)
    assert errors == []
    assert (read.name, read.port, read.gpus, read.host, read.has_api_key, read.unit) == ("qwen", 8001, (0, 1, 2, 3), "10.0.0.1", True, "vllm-qwen.service")
    assert read.vllm_args == {"max_model_len": 5, "seed": None} and read.environment == {"A": "1", "B": None}
    assert SECRET not in repr(read)


def test_what_is_left_out() -> None:
    """Defaults of a service, and null meaning the same as leaving out."""
    [read], errors = read_all(
        "gpu1", [{"name": "a", "model": "a/b", "port": "8001", "gpus": None, "api_key": None, "vllm_args": None, "environment": None}], FLAGS
    )
    assert errors == []
    assert (read.gpus, read.host, read.has_api_key, read.vllm_args, read.environment, read.port) == (None, "0.0.0.0", False, {}, {}, 8001)


def test_an_absent_service_needs_a_name_only() -> None:
    """Whatever else still stands there may be out of date."""
    [read], errors = read_all("gpu1", [{"name": "a", "state": "absent", "port": "gone", "nonsense": 1, "vllm_args": 5}], FLAGS)
    assert errors == [] and (read.name, read.state) == ("a", "absent")
    assert keys_of(read_all("gpu1", [{"state": "absent"}], FLAGS)[1]) == [("model_services[0]", "name")]


WRONG: list[tuple[Any, list[tuple[str, str]]]] = [
    (service(name=...), [("model_services[0]", "name")]),
    (service(name="Qwen"), [("Qwen", "name")]),
    (service(name=5), [("model_services[0]", "name")]),
    (service(model=...), [("qwen", "model")]),
    (service(model=""), [("qwen", "model")]),
    (service(model=["a"]), [("qwen", "model")]),
    (service(port=...), [("qwen", "port")]),
    (service(port=0), [("qwen", "port")]),
    (service(port=65536), [("qwen", "port")]),
    (service(port="http"), [("qwen", "port")]),
    (service(port=8001.5), [("qwen", "port")]),
    (service(gpus=4), [("qwen", "gpus")]),
    (service(gpus=[]), [("qwen", "gpus")]),
    (service(gpus="all"), [("qwen", "gpus")]),
    (service(vllm_args=[]), [("qwen", "vllm_args")]),
    (service(vllm_args={1: 2}), [("qwen", "vllm_args")]),
    (service(environment="A=1"), [("qwen", "environment")]),
    (service(environment={"A B": 1}), [("qwen", "environment.A B")]),
    (service(environment={"A": [1]}), [("qwen", "environment.A")]),
    (service(environment={"HF_TOKEN": SECRET}), [("qwen", "environment.HF_TOKEN")]),
    (service(secret_environment={"HF_TOKEN": SECRET}), [("qwen", "secret_environment.HF_TOKEN")]),
    (service(environment={"VLLM_API_KEY": SECRET}), [("qwen", "environment.VLLM_API_KEY")]),
    (service(environment={"CUDA_VISIBLE_DEVICES": "0"}), [("qwen", "environment.CUDA_VISIBLE_DEVICES")]),
    (service(secret_environment=SECRET), [("qwen", "secret_environment")]),
    (service(secret_environment={"A": [SECRET]}), [("qwen", "secret_environment.A")]),
    (service(secret_environment={"A": SECRET + "\n"}), [("qwen", "secret_environment.A")]),
    (service(secret_environment={"VLLM_API_KEY": SECRET}), [("qwen", "secret_environment.VLLM_API_KEY")]),
    (service(secret_environment={5: SECRET}), [("qwen", "secret_environment")]),
    (service(api_key=[SECRET]), [("qwen", "api_key")]),
    (service(api_key=""), [("qwen", "api_key")]),
    (service(api_key=SECRET + "\n"), [("qwen", "api_key")]),
    (service(api_kye=SECRET), [("qwen", "api_kye")]),
    (service(secret_env={"A": SECRET}), [("qwen", "secret_env")]),
    (service(served_model_name="two words"), [("qwen", "served_model_name")]),
    (service(host="not an address"), [("qwen", "host")]),
    (service(revision=1234567), [("qwen", "revision")]),
    (service(vllm_version=0.32), [("qwen", "vllm_version")]),
    (service(state="started"), [("qwen", "state")]),
    (service(state=[]), [("qwen", "state")]),
    (service(port=0, environment={"A B": 1}), [("qwen", "port"), ("qwen", "environment.A B")]),
    (service(**{"prot": 1, "moddel": 2}), [("qwen", "prot"), ("qwen", "moddel")]),
    ("text", [("model_services[0]", "")]),
    (None, [("model_services[0]", "")]),
]


@pytest.mark.parametrize(("wrong", "where"), WRONG)
def test_wrong_services(wrong: Any, where: list[tuple[str, str]]) -> None:
    """Each names its place and says what to write, and no secret is in it."""
    _services, errors = read_all("gpu1", [wrong], FLAGS)
    assert keys_of(errors) == where
    assert all(error.why and error.fix and error.host == "gpu1" for error in errors)
    assert SECRET not in repr(errors)


@pytest.mark.parametrize("wrong", [{}, "text", None, 5, {"name": "a"}])
def test_no_list(wrong: Any) -> None:
    """model_services is a list."""
    assert keys_of(read_all("gpu1", wrong, FLAGS)[1]) == [("", "model_services")]


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("prot", "did you mean port?"),
        ("max_model_len", "under vllm_args, as max_model_len"),
        ("max-model-len", "under vllm_args, as max_model_len"),
        ("zzzzzz", "a service has name, "),
    ],
)
def test_unknown_keys_are_helped(key: str, fix: str) -> None:
    """With the nearest key, or the place where a flag belongs."""
    [error] = read_all("gpu1", [service(**{key: 1})], FLAGS)[1]
    assert fix in error.fix
