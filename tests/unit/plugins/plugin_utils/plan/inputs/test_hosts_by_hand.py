# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses, interfaces and ranks of other hosts that users set by hand, and hosts that have IPv6 alone or do not answer."""

from __future__ import annotations

from typing import Any

import pytest

from plan_builders import gpus, host_facts, service
from test_distributed import Planner, on, over, over_hosts, parts, two  # noqa: F401  # pylint: disable=unused-import  # over_hosts is a fixture

FIRST = host_facts(hostname="gpu1", interfaces={"eth0": ["192.168.50.1"], "ib0": ["192.168.201.1"]}, default_ipv4="192.168.50.1", gpus=gpus(8))
SECOND = host_facts(hostname="gpu2", interfaces={"eth0": ["192.168.50.2"], "ib0": ["192.168.201.2"]}, default_ipv4="192.168.50.2", gpus=gpus(8))

BY_HAND: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"interface": "ib0", "environment": {"VLLM_HOST_IP": "192.168.50.1"}}, {}, "environment.VLLM_HOST_IP", "remove it: distributed.interface ib0 sets it"),
    ({"environment": {"NCCL_SOCKET_IFNAME": "eth0"}}, {}, "environment.NCCL_SOCKET_IFNAME", "name the network in distributed.interface"),
    ({"environment": {"GLOO_SOCKET_IFNAME": "eth0"}}, {}, "environment.GLOO_SOCKET_IFNAME", "distributed.interface"),
    ({"environment": {"MASTER_ADDR": "10.0.0.1"}}, {}, "environment.MASTER_ADDR", "distributed.head"),
    ({"environment": {"RAY_ADDRESS": "10.0.0.1:6379"}}, {}, "environment.RAY_ADDRESS", "distributed.port"),
    ({}, {"model_service_environment": {"NCCL_SOCKET_IFNAME": "eth0"}}, "model_service_environment.NCCL_SOCKET_IFNAME", "distributed.interface"),
]


@pytest.mark.parametrize(("keys", "variables", "key", "fix"), BY_HAND, ids=[case[2] for case in BY_HAND])
def test_network_variables_by_hand(over_hosts: Planner, keys: dict[str, Any], variables: dict[str, Any], key: str, fix: str) -> None:  # noqa: F811
    """Of a multi-node service, where each node has its own; the fix is accepted."""
    found = over_hosts(two(over(**keys), **variables), gpu1=FIRST, gpu2=SECOND).errors
    assert {(error.host, error.key) for error in found} == {("gpu1", key), ("gpu2", key)}
    assert all(fix in error.fix for error in found)
    right = over_hosts(two(over(interface="ib0")), gpu1=FIRST, gpu2=SECOND)
    assert {host: part["environment"]["VLLM_HOST_IP"] for host, part in parts(right).items()} == {"gpu1": "192.168.201.1", "gpu2": "192.168.201.2"}


@pytest.mark.parametrize("name", ["VLLM_HOST_IP", "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "MASTER_ADDR", "RAY_ADDRESS"])
def test_network_variables_by_hand_among_secrets(over_hosts: Planner, name: str) -> None:  # noqa: F811
    """The file of secrets counts before what the plan gives, so it is no place for them either; what is in it is not shown."""
    made = over_hosts(two(over(secret_environment={name: "s3cr3tOfTheTest", "OTHER": "x"})))
    assert {(error.key, error.value) for error in made.errors} == {(f"secret_environment.{name}", "(hidden)")} and len(made.errors) == 2
    assert over_hosts({"gpu1": on(service(secret_environment={name: "x"}))}).errors == []
    assert over_hosts(two(over(secret_environment={name: None}))).errors == []


def test_a_transport_by_hand_among_secrets(over_hosts: Planner) -> None:  # noqa: F811
    made = transport("tcp")
    [error, _second] = over_hosts(two({**made, "secret_environment": {"NCCL_IB_DISABLE": "0"}})).errors
    assert (error.key, error.value) == ("secret_environment.NCCL_IB_DISABLE", "(hidden)")


def test_on_one_host_they_are_the_users(over_hosts: Planner) -> None:  # noqa: F811
    alone = service(environment={"VLLM_HOST_IP": "127.0.0.1", "NCCL_SOCKET_IFNAME": "lo"})
    assert over_hosts({"gpu1": on(alone)}).errors == []


def transport(name: str, **environment: str) -> dict[str, Any]:
    made = over(environment=environment)
    return {**made, "distributed": {**made["distributed"], "transport": name}}


def test_a_transport_by_hand(over_hosts: Planner) -> None:  # noqa: F811
    """What NCCL goes over is said once."""
    [error, _second] = over_hosts(two(transport("tcp", NCCL_IB_DISABLE="0"))).errors
    assert (error.key, error.why) == ("environment.NCCL_IB_DISABLE", "distributed.transport tcp sets it to 1")
    assert over_hosts(two(transport("tcp", NCCL_IB_DISABLE="1", NCCL_IB_TIMEOUT="22"))).errors == []


ELSEWHERE: list[tuple[dict[str, Any], str, str]] = [
    ({"data_parallel_size": 4, "data_parallel_size_local": 2, "data_parallel_address": "10.0.0.1"}, "data_parallel_size_local", "write data_parallel_size: 2"),
    ({"data_parallel_size": 2, "data_parallel_rank": 0}, "data_parallel_rank", "and data_parallel_size,"),
    ({"data_parallel_size": 4, "data_parallel_size_local": 2, "data_parallel_hybrid_lb": True}, "data_parallel_size_local", "write data_parallel_size: 2"),
    ({"data_parallel_size": 2, "data_parallel_external_lb": True}, "data_parallel_external_lb", "and data_parallel_size,"),
]


@pytest.mark.parametrize(("given", "key", "fix"), ELSEWHERE, ids=[case[1] for case in ELSEWHERE])
def test_ranks_on_other_hosts(over_hosts: Planner, given: dict[str, Any], key: str, fix: str) -> None:  # noqa: F811
    """The engine would wait for them for ever. What is possible is said, and accepted."""
    tensor = {"tensor_parallel_size": 4, "enable_expert_parallel": True}
    found = [error for error in over_hosts({"gpu1": on(service(gpus=..., vllm_args={**tensor, **given}))}).errors if error.key == f"vllm_args.{key}"]
    assert len(found) == 1 and fix in found[0].fix and "distributed" in found[0].fix
    assert over_hosts({"gpu1": on(service(gpus=..., vllm_args={**tensor, "data_parallel_size": 2}))}).errors == []
    assert over_hosts({"gpu1": on(service(gpus=[0, 1, 2, 3], vllm_args=tensor))}).errors == []


def test_headless_goes_in_no_circle(over_hosts: Planner) -> None:  # noqa: F811
    """It sent to distributed, and distributed refused what it was for."""
    [error] = [error for error in over_hosts({"gpu1": on(service(gpus=..., vllm_args={"headless": True}))}).errors if "headless" in error.key]
    assert "the plan sets it on the worker nodes of a multi-node service" in error.fix
    made = {"distributed": {"nodes": 2, "backend": "mp"}, "vllm_args": {"data_parallel_size": 2, "enable_expert_parallel": True}}
    assert over_hosts(two(service(gpus=..., model="qwen3-235b-a22b", **made))).errors == []


# IPv6 alone

V6_FIRST = host_facts(hostname="gpu1", interfaces={"lo": ["127.0.0.1"], "eth0": ["2001:db8::1"]}, default_ipv4="", default_ipv6="2001:db8::1", gpus=gpus(8))
V6_SECOND = host_facts(hostname="gpu2", interfaces={"lo": ["127.0.0.1"], "eth0": ["2001:db8::2"]}, default_ipv4="", default_ipv6="2001:db8::2", gpus=gpus(8))


def test_mp_by_ipv6(over_hosts: Planner) -> None:  # noqa: F811
    """Addresses, peers of the firewall and URLs, also where the inventory has names alone."""
    made = over_hosts(two(over(backend="mp", host="::")), gpu1=V6_FIRST, gpu2=V6_SECOND)
    found = parts(made)
    assert {host: part["environment"]["VLLM_HOST_IP"] for host, part in found.items()} == {"gpu1": "2001:db8::1", "gpu2": "2001:db8::2"}
    assert found["gpu1"]["environment"]["NCCL_SOCKET_IFNAME"] == "eth0"
    assert "2001:db8::2" in [source for rule in made.hosts["gpu1"]["firewall"]["rules"] for source in rule["sources"]]


@pytest.mark.parametrize("written", ["2001:db8::1", "[2001:db8::1]", "2001:0DB8:0::0001"])
def test_urls_by_ipv6(over_hosts: Planner, written: str) -> None:  # noqa: F811
    made = over_hosts({"gpu1": on(service(host="::"), ansible_host=written)}, gpu1=V6_FIRST)
    [found] = made.hosts["gpu1"]["services"]
    assert (found["url"], found["local_url"]) == ("http://[2001:db8::1]:8001", "http://[::1]:8001")


def test_weights_of_peers_by_ipv6(over_hosts: Planner) -> None:  # noqa: F811
    alone = service()
    hosts = {name: on({**alone, "host": "::"}, weights_share="peer", ansible_host=f"2001:db8::{name[-1]}") for name in ("gpu1", "gpu2")}
    made = over_hosts(hosts, gpu1=V6_FIRST, gpu2=V6_SECOND)
    assert made.errors == []
    assert "http://[2001:db8::1]:" in str(made.hosts["gpu2"]["weights"])


def test_ray_by_ipv6(over_hosts: Planner) -> None:  # noqa: F811
    found = over_hosts(two(over(host="::")), gpu1=V6_FIRST, gpu2=V6_SECOND).errors
    assert [(error.key, error.value) for error in found] == [("distributed.backend", "ray")] * 2
    assert "backend: mp" in found[0].fix


def test_who_listens_by_ipv4_is_reached_by_nobody(over_hosts: Planner) -> None:  # noqa: F811
    [error] = over_hosts({"gpu1": on(service())}, gpu1=V6_FIRST).errors
    assert (error.key, error.value, error.fix) == ("host", "0.0.0.0", 'write host: "::"')
    assert over_hosts({"gpu1": on(service(host="127.0.0.1"))}, gpu1=V6_FIRST).errors == []


def test_with_both_the_first_is_ipv4(over_hosts: Planner) -> None:  # noqa: F811
    both = {**FIRST, "interfaces": {"eth0": ["192.168.50.1", "2001:db8::1"]}, "default_ipv6": "2001:db8::1"}
    found = parts(over_hosts(two(over(interface="eth0")), gpu1=both, gpu2=SECOND))
    assert found["gpu1"]["environment"]["VLLM_HOST_IP"] == "192.168.50.1"


# Hosts that do not answer

SILENT: list[tuple[dict[str, str], list[str], str]] = [
    ({"/var/lib/inferops/models": "it did not answer within 5 s"}, ["weights_dir"], ""),
    ({"/var": "it did not answer within 5 s"}, ["weights_dir"], ""),
    ({"/": "it did not answer within 5 s"}, ["weights_dir"], ""),
    ({"weights": "it did not answer within 60 s"}, ["facts.weights"], ""),
    ({"/mnt/old": "it did not answer within 5 s"}, [], "the file system at /mnt/old is not usable"),
    ({"/var/lib/inferops/modelsX": "it did not answer within 5 s"}, [], "is not usable"),
]


@pytest.mark.parametrize(("unanswered", "keys", "warning"), SILENT)
def test_what_was_not_answered(over_hosts: Planner, unanswered: dict[str, str], keys: list[str], warning: str) -> None:  # noqa: F811
    """What is not known is not taken for empty: nothing is downloaded or removed on such a plan."""
    made = over_hosts({"gpu1": on(service())}, gpu1={**FIRST, "unanswered": unanswered})
    assert [error.key for error in made.errors] == keys
    assert all("umount" in error.fix for error in made.errors)
    assert not warning or [told for told in made.warnings if warning in told]
