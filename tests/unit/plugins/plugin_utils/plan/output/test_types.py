# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The values of a plan are of the types that it declares."""

from __future__ import annotations

import dataclasses
import typing

from collections.abc import Iterator
from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.output import types
from plan_builders import gpus, host_facts, service


def wrong(value: Any, hint: Any, where: str) -> Iterator[str]:
    """Where a value is not what its annotation says."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        if value is not None:
            yield from wrong(value, arguments[0], where)
    elif dataclasses.is_dataclass(hint):
        of = types.RemovedService if hint is types.Service and value.get("state") == "absent" else hint
        hints = typing.get_type_hints(of)
        if set(value) != set(hints):
            yield f"{where}: {sorted(set(value) ^ set(hints))}"
        for key, inner in hints.items():
            yield from wrong(value[key], inner, f"{where}.{key}")
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where}: {value!r}"
        for number, item in enumerate(value):
            yield from wrong(item, arguments[0], f"{where}[{number}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{where}: {value!r}"
    elif hint is not Any and (not isinstance(value, (int, float) if hint is float else hint) or (hint is int and isinstance(value, bool))):
        yield f"{where}: {value!r} is not {hint}"


def test_a_plan_has_its_types(plan: Any) -> None:
    facts = host_facts(gpus=gpus(8))
    made = plan(
        service(vllm_args={"pipeline_parallel_size": 2, "tensor_parallel_size": 2}, gpus=[0, 1, 2, 3]),
        service(name="tls", port=8002, gpus=[4], vllm_args={"ssl_certfile": "/etc/ssl/a.pem", "ssl_keyfile": "/etc/ssl/a.key"}, tls_server_name="a.example"),
        service(name="gone", state="absent"),
        facts=facts, host_http_proxy="http://proxy.example:3128", plan_accept={"memory": "of no matter here"},
    )
    assert made.errors == []
    for host in made.hosts.values():
        assert list(wrong(host, types.HostPlan, "plan_host")) == []
        assert host["proxy"] and [one["state"] for one in host["services"]] == ["present", "present", "absent"]
        assert host["services"][0]["stages"] and host["services"][1]["tls"]


def test_what_is_wrong_is_found() -> None:
    assert list(wrong({"user": 5, "group": "g"}, types.Account, "account")) == ["account.user: 5 is not <class 'str'>"]
