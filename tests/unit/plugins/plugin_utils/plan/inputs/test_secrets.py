# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets in an inventory: each is refused by its form and never shown; none stands where everybody reads, addresses included."""

from __future__ import annotations

import json

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.filter.netrc import netrc
from ansible_collections.inferops.gpu.plugins.filter.services import service_secrets
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import secrets
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.settings import Settings
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import service

Plans = Callable[..., Plan]
SECRET = "s3cr3tOfTheTest"
LONG = SECRET * 3
# No header can hold these, or not as they were meant.
BAD = [f"{LONG}\n", f"{LONG}\r\n", f" {LONG}", f"{LONG}\t", f"{LONG} {LONG}", f"{LONG}\n{LONG}",
       f"{LONG}é", f"{LONG}€", f"{LONG}\x00", f"{LONG}\x7f", LONG * 999]
TOKENS = ("weights_token", "weights_credential_token", "multi_node_token", "model_service_credential_api_key")


def text_of(made: Any) -> str:
    return json.dumps([made.hosts, [error.to_dict() for error in made.errors], made.warnings])


@pytest.mark.parametrize("value", [*BAD, 5, True, None, [LONG], {LONG: LONG}, "  "], ids=repr)
@pytest.mark.parametrize("name", TOKENS)
def test_a_token_that_no_header_can_hold(plan: Plans, name: str, value: Any) -> None:
    """One error that names the variable, with a fix, and quotes nothing."""
    made = plan(service(), **{name: value})
    assert [(error.key, error.value) for error in made.errors] == [(name, "(hidden)")]
    assert made.errors[0].why and made.errors[0].fix and SECRET not in text_of(made)


@pytest.mark.parametrize("name", TOKENS)
def test_the_fix_of_a_line_break(plan: Plans, name: str) -> None:
    """What it says leads to a plan."""
    broken = plan(service(), **{name: f"{LONG}\n"}).errors[0]
    assert "line break" in broken.why and "printf %s" in broken.fix and name in broken.fix
    assert plan(service(), **{name: LONG}).errors == []
    assert plan(service(), **{name: ""}).errors == []


def test_a_short_token_of_nodes(plan: Plans) -> None:
    """Before anything is downloaded or built."""
    [error] = plan(service(), multi_node_token=SECRET).errors
    assert error.key == "multi_node_token" and "32" in error.why and SECRET not in text_of(plan(service(), multi_node_token=SECRET))


@pytest.mark.parametrize("value", [*BAD, "", 5, [LONG]], ids=repr)
def test_an_api_key_that_no_header_can_hold(plan: Plans, value: Any) -> None:
    made = plan(service(api_key=value))
    assert [(error.service, error.key, error.value) for error in made.errors] == [("qwen", "api_key", "(hidden)")]
    assert SECRET not in text_of(made)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (f"{LONG}\n", "ends with a line break"), (f"{LONG}\n{LONG}", "more than one line"), (f"{LONG}\r{LONG}", "more than one line"),
        (f"{LONG}\0", "control character"), ([LONG], "a list"), ({"a": LONG}, "a dictionary"), (LONG * 999, "characters"),
    ],
    ids=repr,
)
def test_a_secret_that_no_environment_file_can_hold(plan: Plans, value: Any, words: str) -> None:
    """It says so in the plan, and not when the file is written."""
    made = plan(service(secret_environment={"A_TOKEN": value}))
    assert [(error.key, error.value) for error in made.errors] == [("secret_environment.A_TOKEN", "(hidden)")]
    assert words in made.errors[0].why and SECRET not in text_of(made)


@pytest.mark.parametrize("name", ["not a name", 5, "VLLM_API_KEY", "CUDA_VISIBLE_DEVICES", f"{SECRET}=x"])
def test_names_of_secrets_are_those_of_the_environment(plan: Plans, name: Any) -> None:
    """What the environment may not set, secret_environment may not either. A name that is none may be the secret."""
    made = plan(service(secret_environment={name: LONG}))
    assert len(made.errors) == 1 and SECRET not in text_of(made)


def test_both_environments_read_alike(plan: Plans) -> None:
    """true and false are 1 and 0, and null takes a variable away, in both."""
    given = {"A": True, "B": None, "C": False, "D": 5, "E": 1.5, "F": "x", "VLLM_NO_USAGE_STATS": None}
    plain = plan(service(environment=given)).hosts["gpu1"]["services"][0]["environment"]
    hidden = plan(service(secret_environment=given)).hosts["gpu1"]["services"][0]["environment"]
    written = service_secrets([service(secret_environment=given)])["qwen"]
    assert written == {name: plain[name] for name in "ACDEF"} == {"A": "1", "C": "0", "D": "5", "E": "1.5", "F": "x"}
    assert "VLLM_NO_USAGE_STATS" not in plain and "VLLM_NO_USAGE_STATS" not in hidden and not set(written) & set(hidden)


def test_variables_of_vllm_among_secrets(plan: Plans) -> None:
    """Those that the plan asks for count wherever they stand, and a name that vLLM does not know is reported."""
    long = {"model": "qwen3-0.6b", "gpus": [0], "vllm_args": {"max_model_len": 50000}}
    assert plan(service(**long)).errors and plan(service(**long, secret_environment={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"})).errors == []
    rust = {"vllm_args": {"grpc_port": 50051}}
    assert plan(service(**rust)).errors and plan(service(**rust, secret_environment={"VLLM_USE_RUST_FRONTEND": 1})).errors == []
    [warning] = plan(service(secret_environment={"VLLM_CACHE_ROTO": SECRET})).warnings
    assert "VLLM_CACHE_ROOT" in warning and SECRET not in warning


# -- addresses and tokens where everybody reads

ADDRESSES = [
    f"https://me:{SECRET}@index.example.com/simple", f"https://{SECRET}@index.example.com/simple", f"https://index.example.com/simple?sig={SECRET}",
    f"https://me:pa/{SECRET}@index.example.com/simple", f"https://me:{SECRET}@index.example.com:8443/x.whl",
]
TOKEN = f"hf_{LONG}"

SETTINGS: list[tuple[str, Any]] = [
    *((name, "{0}") for name in ("host_index_url", "vllm_index_url", "cuda_apt_repository")),
    *((name, ["{0}"]) for name in ("host_extra_index_urls", "host_find_links", "vllm_extra_index_urls", "vllm_find_links", "weights_endpoints",
                                   "weights_token_endpoints")),
    ("vllm_build_environment", {"MIRROR": "{0}"}),
    ("vllm_requirements", ["lmcache @ {0}/lmcache-1.0-py3-none-any.whl"]),
    ("vllm_transformers_requirements", ["torch @ {0}/torch-2.0-py3-none-any.whl"]),
    ("vllm_overrides", ["torch @ {0}/torch.whl"]),
    ("vllm_source", "git+{0}/vllm@0123456789012345678901234567890123456789"),
    ("vllm_source", "{0}/vllm-0.32.0.tar.gz"),
    ("model_service_environment", {"MIRROR": "{0}"}),
]
SERVICES: list[dict[str, Any]] = [
    {"environment": {"http_proxy": "{0}"}}, {"environment": {"ANY": "x {0} y"}},
    {"vllm_args": {"otlp_traces_endpoint": "{0}"}}, {"vllm_args": {"hf_overrides": {"a": {"b": ["{0}"]}}}},
    {"vllm_args": {"kv_transfer_config": {"kv_connector": "x", "kv_role": "kv_both", "kv_connector_extra_config": {"url": "{0}"}}}},
    {"vllm_args": {"lora_modules": [{"name": "a", "path": "{0}"}]}}, {"vllm_args": {"allowed_origins": ["{0}"]}},
    {"vllm_requirements": ["lmcache @ {0}/lmcache-1.0-py3-none-any.whl"]},
    {"vllm_source": "git+{0}/vllm@0123456789012345678901234567890123456789"},
    {"engine": "transformers", "transformers_args": {"anything": "{0}"}},
    {"engine": "transformers", "environment": {"ANY": "{0}"}},
]


def filled(value: Any, word: str) -> Any:
    if isinstance(value, dict):
        return {key: filled(item, word) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, word) for item in value]
    return value.replace("{0}", word) if isinstance(value, str) else value


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(("name", "form"), SETTINGS, ids=str)
def test_no_credentials_in_settings(plan: Plans, name: str, form: Any, address: str) -> None:
    """Refused, with what to do instead, and not quoted."""
    made = plan(service(), **{name: filled(form, address)})
    assert made.errors and all(error.key.startswith(name) for error in made.errors), made.errors
    assert made.hosts == {} and SECRET not in text_of(made)


@pytest.mark.parametrize("word", [*ADDRESSES, TOKEN])
@pytest.mark.parametrize("more", SERVICES, ids=str)
def test_no_credentials_in_services(plan: Plans, more: dict[str, Any], word: str) -> None:
    made = plan(service(**filled(more, word)))
    assert made.errors and SECRET not in text_of(made)
    assert any(error.key.split(".")[0] in more and "{" not in error.key for error in made.errors), made.errors


def test_a_proxy_without_a_scheme(plan: Plans) -> None:
    made = plan(service(environment={"https_proxy": f"me:{SECRET}@proxy.example.com:3128"}))
    assert [error.key for error in made.errors] == ["environment.https_proxy"] and SECRET not in text_of(made)


def test_every_setting_is_looked_at(plan_hosts: Any) -> None:
    """Those that come later too: whatever takes such an address refuses it, and none shows it."""
    for setting in fields(Settings):
        for form in ("{0}", ["{0}"], {"A": "{0}"}):
            made = plan_hosts([HostInput("gpu1", {"model_services": [service()], setting.name: filled(form, ADDRESSES[0])})])
            assert made.errors and SECRET not in text_of(made), setting.name


@pytest.mark.parametrize(
    "more",
    [
        {"environment": {"http_proxy": "http://proxy.example.com:3128", "PEER": "http://[::1]:8000/a@b", "MAIL": "me@example.com"}},
        {"vllm_source": "git+ssh://git@github.com/vllm-project/vllm@0123456789012345678901234567890123456789"},
        {"vllm_args": {"otlp_traces_endpoint": "grpc://collector.example.com:4317"}},
    ],
    ids=str,
)
def test_what_is_no_secret(plan: Plans, more: dict[str, Any]) -> None:
    assert plan(service(**more)).errors == []


def test_the_fix_for_an_index(plan: Plans) -> None:
    """Without it in the address and with it where it belongs there is a plan, which does not hold it."""
    pair = {"index.example.com": {"user": "me", "password": SECRET}}
    [error] = plan(service(), host_index_url=ADDRESSES[0]).errors
    assert secrets.INDEX_CREDENTIALS in error.fix
    made = plan(service(), host_index_url="https://index.example.com/simple", host_index_credentials=pair)
    assert made.errors == [] and SECRET not in text_of(made)
    assert netrc(pair) == f"machine index.example.com\nlogin me\npassword {SECRET}\n"


@pytest.mark.parametrize(
    "value",
    [
        5, [], f"https://me:{SECRET}@x", {"https://x": {"user": "a", "password": SECRET}}, {"x:8080": {"user": "a", "password": SECRET}},
        {"x": SECRET}, {"x": {"user": SECRET}}, {"x": {"user": "a", "password": f"{SECRET}\n"}}, {"x": {"user": "a", "password": f"{SECRET} {SECRET}"}},
        {"x": {"user": "a", "password": f'"{SECRET}'}}, {"x": {"user": "a", "password": f"#{SECRET}"}}, {"x": {"user": "", "password": SECRET}},
        {"x": {"user": "a", "password": SECRET, "port": 1}}, {f"{SECRET} x": {}}, {5: {"user": "a", "password": SECRET}},
    ],
    ids=repr,
)
def test_credentials_of_an_index_that_cannot_be_used(plan: Plans, value: Any) -> None:
    made = plan(service(), host_index_credentials=value)
    assert len(made.errors) == 1 and made.errors[0].value == "(hidden)" and SECRET not in text_of(made)
