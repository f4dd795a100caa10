# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site's proxy in the plan: its address, and what is reached without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.settings import proxies
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import gpus, host_facts, service

Plans = Callable[..., Plan]
PROXY = "http://proxy.corp.example:3128"


def small(**keys: Any) -> dict[str, Any]:
    return service(**{"model": "qwen3-8b", "gpus": [0], "vllm_args": {"max_model_len": 8192}, **keys})


def of(plan: Plan, host: str = "gpu1") -> Any:
    assert plan.errors == []
    return plan.hosts[host]["proxy"]


def test_hosts_have_none_by_themselves(plan: Plans) -> None:
    assert of(plan(small(), plan_gpus=gpus(1))) is None


def test_one_variable_is_enough(plan: Plans) -> None:
    facts = host_facts(gpus=gpus(1), interfaces={"eth0": ["10.0.0.1"], "ib0": ["10.1.0.1"]}, default_ipv4="10.0.0.1")
    found = of(plan(small(), facts=facts, ansible_host="gpu1.corp.example", host_http_proxy=PROXY, host_no_proxy=["pypi.corp.example", ".lan"]))
    assert (found["http"], found["https"], found["username"]) == (PROXY, PROXY, "")
    assert {"localhost", "127.0.0.1", "::1", "gpu1.corp.example", "10.0.0.1", "10.1.0.1", "pypi.corp.example", ".lan"} == set(found["no_proxy"])


def test_another_one_for_https(plan: Plans) -> None:
    found = of(plan(small(), host_https_proxy="http://other:8080", plan_gpus=gpus(1)))
    assert (found["http"], found["https"]) == ("", "http://other:8080")
    assert of(plan(small(), host_http_proxy=PROXY, host_https_proxy="http://other:8080", plan_gpus=gpus(1)))["http"] == PROXY


def test_hosts_of_the_inventory_are_reached_without(plan_hosts: Callable[[list[HostInput]], Plan]) -> None:
    """The nodes of a service, a source of weights, the mirror, and endpoints and indexes on such hosts; not all hosts there are."""
    accepted = dict.fromkeys(("open-port", "key-scope", "cuda-compiler"), "x")
    shared = {"host_http_proxy": PROXY, "plan_accept": accepted, "plan_gpus": gpus(8), "weights_mirror_address": "10.0.0.50", "ansible_host": ""}
    spread = small(distributed={"nodes": 2})
    hosts = [
        HostInput(f"gpu{number}", {**shared, "model_services": [spread] if number < 3 else [small()], "ansible_host": f"10.0.0.{number}",
                                   "host_index_url": "http://10.0.0.4:3141/simple", "weights_endpoints": ["http://gpu3:8080", "https://huggingface.co"]})
        for number in (1, 2, 3, 4)
    ]
    found = of(plan_hosts(hosts))["no_proxy"]
    assert {"10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.50", "gpu3"} <= set(found) and "10.0.0.3" not in found and "huggingface.co" not in found


@pytest.mark.parametrize("name", ["host_http_proxy", "host_https_proxy"])
@pytest.mark.parametrize(("value", "said"), [
    ("http://gpu:secret@proxy.corp.example:3128", "host_proxy_password"), ("http://gpu@proxy:3128", "host_proxy_username"), ("proxy.corp.example:3128", "http"),
    ("http://proxy", "a port"), ("socks5://proxy:1080", "http or https"), ("http://proxy:99999", "not an address"), ("http://proxy:1/path", "only a host and a port"),
    ("http://pro xy:1", "only a host and a port"), (7, "text"), ('http://a";evil:1', "only a host and a port"), ("http://[::1:1", "not an address"),
])
def test_addresses_that_are_none(plan: Plans, name: str, value: Any, said: str) -> None:
    (error,) = plan(small(), plan_gpus=gpus(1), **{name: value}).errors
    assert error.key == name and said in error.why + error.fix
    assert "secret" not in str(error)


@pytest.mark.parametrize("value", [["http://mirror"], ["a b"], ["10.0.0.0/99x"], 7, ['x"; Dir "/'], ["*"]])
def test_names_that_are_none(plan: Plans, value: Any) -> None:
    assert [error.key for error in plan(small(), plan_gpus=gpus(1), host_http_proxy=PROXY, host_no_proxy=value).errors] == ["host_no_proxy"]


def test_names_as_others_write_them(plan: Plans) -> None:
    found = of(plan(small(), plan_gpus=gpus(1), host_http_proxy=PROXY, host_no_proxy="a.example, .lan,10.0.0.0/8, fd00::/8"))
    assert found["no_proxy"][-4:] == ["a.example", ".lan", "10.0.0.0/8", "fd00::/8"]


def test_a_user_without_a_proxy(plan: Plans) -> None:
    assert [error.key for error in plan(small(), plan_gpus=gpus(1), host_proxy_username="gpu").errors] == ["host_proxy_username"]
    assert of(plan(small(), plan_gpus=gpus(1), host_proxy_username="gpu", host_http_proxy=PROXY))["username"] == "gpu"


def test_the_proxy_is_known_before_the_plan() -> None:
    found = proxies.of_variables({"host_http_proxy": PROXY, "host_no_proxy": ["a"]}, ["gpu1"])
    assert found is not None and found["https"] == PROXY and {"a", "gpu1", "127.0.0.1"} <= set(found["no_proxy"])
    assert proxies.of_variables({}, ["gpu1"]) is None and proxies.of_variables({"host_http_proxy": "http://u:p@x:1"}, []) is None


@pytest.mark.parametrize("value", ["geheim\n", "ge heim", "gehéim", 7, None])
def test_a_password_is_looked_at_and_never_quoted(plan: Plans, value: Any) -> None:
    (error,) = plan(small(), plan_gpus=gpus(1), host_http_proxy=PROXY, host_proxy_username="gpu", host_proxy_password=value).errors
    assert error.key == "host_proxy_password" and "geheim" not in str(error) and "gehéim" not in str(error)


def test_a_password_is_no_part_of_the_plan(plan: Plans) -> None:
    found = plan(small(), plan_gpus=gpus(1), host_http_proxy=PROXY, host_proxy_username="gpu", host_proxy_password="geheim")
    assert found.errors == [] and "geheim" not in str(found.hosts)
