# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Blue/green updates: whether the new engine of a service fits beside the old one, and the service as its temporary unit runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.output import table
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import gpus, host_facts, keys_of, service

Plans = Callable[..., Plan]

BLUE_GREEN = {"model_service_update_strategy": "blue_green"}
SMALL = {"model": "qwen3-8b", "gpus": [0], "vllm_args": {"max_model_len": 8192}}
CPU = {**SMALL, "gpus": ..., "vllm_version": "0.32.0+cpu"}


def running(name: str = "qwen", **keys: Any) -> dict[str, Any]:
    """A unit as the facts have it."""
    return {"unit": f"vllm-{name}.service", "service": name, "active": "active", "enabled": "enabled", "port": 8001, "gpus": [0], **keys}


def listener(port: int, unit: str = "") -> dict[str, Any]:
    """A listening socket as the facts have it."""
    return {"port": port, "address": "0.0.0.0", "pid": 1, "unit": unit, "program": "nginx"}


def small(**keys: Any) -> dict[str, Any]:
    """A service on one GPU."""
    return service(**{**SMALL, **keys})


def facts(**keys: Any) -> dict[str, Any]:
    """Facts of a host with four GPUs, on which the service runs."""
    return host_facts(**{"gpus": gpus(), "services": [running()], **keys})


def green(made: Plan, number: int = 0) -> dict[str, Any]:
    """The temporary unit of a service."""
    assert made.errors == []
    found: dict[str, Any] = made.hosts["gpu1"]["services"][number]["green"]
    return found


def test_it_fits_on_free_gpus_of_the_same_model(plan: Plans) -> None:
    """Those that neither a service of the plan nor a running unit uses; with the port of the service + 10000."""
    others = [small(name="b", port=8002, gpus=[1])]
    units = [running(gpus=[2]), running("b", port=8002, gpus=[1])]
    found = green(plan(small(), *others, facts=facts(services=units), **BLUE_GREEN))
    assert (found["unit"], found["port"], found["gpus"], found["why"]) == ("inferops-green-qwen.service", 18001, [3], "")


def test_its_adapters_are_in_a_file_of_their_own(plan: Plans) -> None:
    """So that the old engine keeps the former ones until it stops."""
    adapters = {"ours": {"repo": "org/lora", "revision": "1" * 40}}
    made = plan(small(adapters=adapters), facts=facts(), **BLUE_GREEN)
    found = green(made)["service"]
    assert found["adapters"]["file"] == "/run/inferops-adapters/qwen.json" == found["environment"]["INFEROPS_LORA_ADAPTERS"]
    own = made.hosts["gpu1"]["services"][0]["adapters"]
    assert own["file"] == "/etc/inferops/adapters/qwen.json" and found["adapters"]["paths"] == own["paths"] != {}
    # Without such a file it has none either.
    assert green(plan(small(), facts=facts(), **BLUE_GREEN))["service"]["adapters"]["file"] == ""


def test_two_services_may_have_the_same_free_gpus(plan: Plans) -> None:
    """They change one after the other."""
    made = plan(small(), small(name="b", port=8002, gpus=[1]), facts=host_facts(gpus=gpus(3)), **BLUE_GREEN)
    assert [green(made, number)["gpus"] for number in (0, 1)] == [[2], [2]] and [green(made, number)["port"] for number in (0, 1)] == [18001, 18002]


@pytest.mark.parametrize(
    ("what", "services", "host", "why"),
    [
        ("all GPUs are in use", [service()], {"gpus": gpus()}, "temporary unit needs: 4, that the host has: 0"),
        ("too few are free", [service()], {"gpus": gpus(5)}, "temporary unit needs: 4, that the host has: 1"),
        ("another model", [small()], {"gpus": [*gpus(1), {**gpus(2, name="NVIDIA L4")[1]}]}, "temporary unit needs: 1, that the host has: 0"),
        ("the old engine has all", [small()], {"services": [running(gpus=None)]}, "vllm-qwen.service runs on all GPUs of the host"),
        ("a lost GPU", [small()], {"gpus": [*gpus(1), {**gpus(2)[1], "error": "GPU is lost"}]}, "temporary unit needs: 1, that the host has: 0"),
        (
            "an ill GPU", [small()], {"gpus": gpus(2), "gpu_health": [{"name": "gpu-ecc", "gpu": 1, "level": "error", "cause": "is broken", "fix": "x"}]},
            "temporary unit needs: 1, that the host has: 0",
        ),
        ("port of another", [small(), small(name="b", port=18001, gpus=[1])], {}, "port 18001 (its port + 10000), and b on this host has it"),
        ("a listener", [small()], {"listeners": [listener(18001)]}, "port 18001 (its port + 10000), and nginx listens on it"),
        ("SSH", [small()], {"firewall": {"ssh_ports": [18001]}}, "and it is SSH's port"),
        ("no such port", [small(port=55536)], {}, "needs port 65536 (its port + 10000), which is above 65535"),
        ("a further port", [small(environment={"VLLM_NIXL_SIDE_CHANNEL_PORT": "5600"})], {}, "both use the port in environment.VLLM_NIXL_SIDE_CHANNEL_PORT"),
        (
            "a port in an argument", [small(vllm_args={"max_model_len": 8192, "data_parallel_rpc_port": 29550})], {},
            "both use the port in vllm_args.data_parallel_rpc_port",
        ),
        ("loopback", [small(host="127.0.0.1")], {}, "connections of the host itself cannot be redirected"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_what_does_not_fit_is_an_error(plan: Plans, what: str, services: list[dict[str, Any]], host: dict[str, Any], why: str) -> None:
    """For a service that runs, unless that is accepted; with recreate the plan only says so. A service that does not run yet needs nothing, so there is
    a warning."""
    found = facts(**host)
    made = plan(*services, facts=found, **BLUE_GREEN)
    assert keys_of(made.errors) == [("qwen", "model_service_update_strategy")], made.errors
    [error] = made.errors
    assert (error.host, error.value) == ("gpu1", "blue_green") and why in error.why, error
    assert "or set model_service_update_strategy: recreate" in error.fix and "blue-green" in error.fix, error
    assert plan(*services, facts=found, plan_accept={"blue-green": "it may restart"}, **BLUE_GREEN).errors == []
    without = green(plan(*services, facts=found))
    assert why in without["why"] and without["gpus"] == [] and without["service"] is None
    if what != "the old engine has all":
        new = plan(*services, facts={**found, "services": []}, **BLUE_GREEN)
        assert green(new) == without and [why in text for text in new.warnings if "blue_green" in text] == [True]


@pytest.mark.parametrize(("units", "names"), [
    ([running(gpus=[1]), running("b", port=8002, gpus=[0])], "vllm-b.service"),
    ([running(port=8002), running("b", port=8001, gpus=[1])], "vllm-b.service"),
    ([running(), running("b", port=8002, gpus=[1])], ""),
])
def test_services_that_pass_on_a_port_or_gpus_cannot_change_one_after_the_other(plan: Plans, units: list[dict[str, Any]], names: str) -> None:
    made = plan(small(), small(name="b", port=8002, gpus=[1]), facts=host_facts(gpus=gpus(4), services=units))
    assert green(made)["why"] == (f"{names} still has its port or GPUs, and services change one after the other" if names else "")


@pytest.mark.parametrize(("arguments", "key"), [
    ({"kv_events_config": {"enable_kv_cache_events": True, "publisher": "zmq"}}, "vllm_args.kv_events_config"),
    ({"kv_transfer_config": {"kv_connector": "OffloadingConnector", "kv_role": "kv_both"}}, ""),
])
def test_connectors_have_ports_of_their_own(plan: Plans, arguments: dict[str, Any], key: str) -> None:
    """Also without a key for them."""
    made = plan(small(api_key="k", vllm_args={"max_model_len": 8192, **arguments}), facts=facts())
    assert made.hosts and made.hosts["gpu1"]["services"][0]["green"]["why"] == (f"its two engines would both use the port in {key}" if key else "")


def test_the_firewall_keeps_the_port_of_an_engine_that_a_run_has_left(plan: Plans) -> None:
    """Clients may be redirected to it until it goes, also if the strategy is another one now."""
    own = {"rules": [{"port": 18001, "protocol": "tcp", "source": "10.0.0.0/8", "comment": "inferops: green qwen", "family": 4, "action": "allow"}]}
    for left, expected in (([], []), (["inferops-green-qwen.service"], [18001])):
        found = facts(green_units=left)
        found["firewall"] = {**found["firewall"], "state": {**found["firewall"]["state"], **own}} if "firewall" in found else {"state": own}
        rules = plan(small(), facts=found, firewall_enabled=True).hosts["gpu1"]["firewall"]["rules"]
        assert [rule["port"] for rule in rules if "green" in rule["comment"]] == expected


def test_an_engine_on_cpus_needs_no_gpu(plan: Plans) -> None:
    found = green(plan(service(**CPU), facts=host_facts(gpus=[], gpu_error="no devices", services=[running(gpus=None)]), **BLUE_GREEN))
    assert found["gpus"] == [] and found["why"] == "" and not any("CUDA_VISIBLE" in name for name in found["service"]["environment"])
    # As in the lab, where the plan assigns GPUs to CPU builds.
    assert green(plan(service(**{**CPU, "gpus": [0]}), facts=facts(gpus=gpus(1)), **BLUE_GREEN))["why"] == ""


def test_a_temporary_unit_that_was_left_is_in_nobodys_way(plan: Plans) -> None:
    """A run may have died."""
    assert green(plan(small(), facts=facts(listeners=[listener(18001, "inferops-green-qwen.service")]), **BLUE_GREEN))["why"] == ""


def test_the_service_in_its_temporary_unit(plan: Plans) -> None:
    """It has the port, the GPUs, the caches and the files of that unit; all else is the service's."""
    arguments = {"max_model_len": 8192, "ssl_certfile": "/tls/cert.pem", "ssl_keyfile": "/tls/key.pem"}
    made = plan(small(vllm_args=arguments, api_key="k"), facts=facts(), **BLUE_GREEN)
    [planned] = made.hosts["gpu1"]["services"]
    own, [unit] = planned["green"]["service"], planned["green"]["service"]["units"]
    assert own["local_url"] == "https://127.0.0.1:18001" and own["environment"]["CUDA_VISIBLE_DEVICES"] == "1"
    differ = {(old, new) for old, new in zip(planned["argv"], own["argv"]) if old != new}
    assert differ == {("--port=8001", "--port=18001")} | {
        (f"--ssl-{name}=/run/credentials/vllm-qwen.service/ssl_{name}", f"--ssl-{name}=/run/credentials/inferops-green-qwen.service/ssl_{name}")
        for name in ("certfile", "keyfile")
    }
    assert own["environment"]["VLLM_CACHE_ROOT"] == "/var/cache/inferops/qwen/green/vllm" and own["before_start"][0][-1] == "/var/cache/inferops/qwen/green"
    assert own["tls"]["unit"] == own["unit"] == unit["unit"] == "inferops-green-qwen.service" and own["unit_directory"] == "/run/systemd/system"
    assert own["environment_file"] == unit["environment_file"] == "/run/inferops/inferops-green-qwen.env"
    [blue] = planned["units"]
    assert unit["failures"] == blue["failures"] and unit["own_folders"] == blue["own_folders"] and unit["writable"] == blue["writable"]
    assert unit["runtime"] == "inferops-supervisor/inferops-green-qwen" and unit["command"] == own["argv"]
    ends = ["--unit=inferops-green-qwen.service", "--engine=https://127.0.0.1:18001", "--redirected"]
    assert set(ends) < set(unit["drain"]) and set(ends) < set(unit["undrain"]) and not set(ends) & set(blue["drain"])


def test_the_strategy_changes_nothing_in_the_service(plan: Plans) -> None:
    """Or else it would restart."""
    plain, other = (plan(small(), facts=facts(), **more).hosts["gpu1"]["services"][0] for more in ({}, BLUE_GREEN))
    assert plain["green"]["service"] is None and other["green"]["service"] is not None
    assert {**plain, "green": None} == {**other, "green": None}


def test_the_firewall_allows_its_port(plan: Plans) -> None:
    """From the sources of the service, as long as the strategy is blue_green."""
    made = [plan(small(), facts=facts(), **more).hosts["gpu1"]["firewall"] for more in ({}, BLUE_GREEN)]
    plain, other = ({(rule["port"], tuple(rule["sources"])) for rule in firewall["rules"]} for firewall in made)
    assert other - plain == {(18001, sources) for port, sources in plain if port == 8001}
    assert made[1]["service_comments"]["qwen"] == ["inferops: api qwen", "inferops: green qwen"]


def test_the_table_says_what_fits(plan: Plans) -> None:
    for services, host, cell in (([small()], facts(), "port 18001, GPU 1"), ([service()], facts(), "no"), ([service(**CPU)], facts(gpus=[]), "port 18001")):
        assert table.lines(plan(*services, facts=host).hosts.values())[1].endswith(f"  {cell}")


def test_a_strategy_that_does_not_exist(plan: Plans) -> None:
    [error] = plan(small(), model_service_update_strategy="rolling").errors
    assert (error.key, error.value) == ("model_service_update_strategy", "rolling") and "blue_green" in error.fix
