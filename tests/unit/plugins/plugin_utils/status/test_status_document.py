# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state as data: a word for each service, multi-node services once, what is planned and not there, what differs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.plugin_utils.status import document, states
from ansible_collections.inferops.gpu.plugins.plugin_utils.status.hosts import Host, host_of
from ansible_collections.inferops.gpu.plugins.plugin_utils.status.services import services_of
from status_builders import ENGINE, host, pair, plan_of, planned, status, unit, unreachable

VALID = {"hosts": {}, "errors": []}


@pytest.mark.parametrize(
    ("keys", "state"),
    [
        ({}, "serving"),
        ({"status": "serving: not answering since 2026-11-26 14:03:11 UTC (…)"}, "degraded"),
        ({"engine": {**ENGINE, "error": "/metrics: no complete answer after 10 s"}}, "degraded"),
        ({"active": "activating", "sub": "start", "status": "starting: loading weights, 43 %"}, "starting"),
        ({"active": "activating", "sub": "auto-restart", "status": "failed: the engine has ended", "failed_starts": 1}, "starting"),
        ({"active": "activating", "status": "starting: 3 starts have failed, …", "failed_starts": 3}, "failed"),
        ({"active": "activating", "status": "degraded: node gpu2 missing since …", "failed_starts": 3}, "degraded"),
        ({"active": "failed", "sub": "failed", "status": "failed: the engine ended with status 2"}, "failed"),
        ({"active": "inactive", "status": "stopped: it was stopped on request"}, "stopped"),
        ({"active": "deactivating", "status": "serving"}, "stopped"),
        ({"active": "reloading", "status": ""}, "starting"),
    ],
)
def test_a_word_for_each_state(keys: dict[str, Any], state: str) -> None:
    [found] = services_of([host("gpu1", unit(**keys))])
    assert found["state"] == state


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (["serving", "serving"], "serving"), (["serving", "unknown"], "serving"), (["unknown"], "unknown"), (["serving", "failed"], "failed"),
        (["starting", "degraded"], "degraded"), (["serving", "starting"], "starting"), (["serving", "not deployed"], "degraded"),
        (["stopped", "stopped"], "stopped"), (["stopped", "serving"], "degraded"), (["not deployed", "unknown"], "not deployed"),
    ],
)
def test_a_word_for_several_nodes(found: list[str], state: str) -> None:
    assert states.combined(found) == state


def test_a_multi_node_service_is_listed_once() -> None:
    [found] = services_of(pair())
    assert (found["hosts"], found["state"], found["endpoint"], found["requests_running"]) == (["gpu1", "gpu2"], "serving", "http://10.0.0.1:8001/v1", 3)
    assert [item["unit"] for item in found["units"]] == ["vllm-pair.service", "ray-head-pair.service", "ray-worker-pair.service"]
    assert found["memory_bytes"] == 3 * 2**30 and found["missing"] == []


def test_a_node_that_fails() -> None:
    [found] = services_of(pair(active="failed", status="failed: Ray's worker has ended", since="2026-11-26T13:00:00+00:00", restarts=2, failed_starts=4))
    assert (found["state"], found["status"], found["since"]) == ("failed", "failed: Ray's worker has ended", "2026-11-26T13:00:00+00:00")
    assert (found["restarts"], found["failed_starts"]) == (2, 4)


def test_a_node_that_was_not_read() -> None:
    [found] = services_of([pair()[0], unreachable()])
    assert found["state"] == "serving" and found["missing"] == [{"host": "gpu2", "text": "was not read: Connection timed out"}]
    [found] = services_of([pair()[0]])
    assert found["missing"] == [{"host": "gpu2", "text": "is not part of this run"}]
    [found] = services_of([pair()[0], host("gpu2")])
    assert found["state"] == "degraded" and found["missing"][0]["text"] == "has no unit of the service"


def test_the_same_name_on_two_hosts_is_two_services() -> None:
    """Replicas."""
    assert [(item["service"], item["hosts"]) for item in services_of([host("gpu1", unit()), host("gpu2", unit())])] == [("qwen3", ["gpu1"]), ("qwen3", ["gpu2"])]


@pytest.mark.parametrize("plan", [{}, plan_of(planned())])
def test_a_service_that_is_not_deployed(plan: dict[str, Any]) -> None:
    """With a valid plan, or from the inventory alone."""
    there = Host("gpu1", status=status(), defined={"qwen3": "present", "old": "absent"}, plan=plan)
    [found] = services_of([there])
    assert (found["service"], found["state"], found["units"], found["missing"]) == ("qwen3", "not deployed", [], [])
    assert found["endpoint"] == ("http://10.0.0.1:8001/v1" if plan else "")
    [found] = services_of([unreachable("gpu1", defined={"qwen3": "present"}, plan=plan)])
    assert found["state"] == "unknown"


def test_a_planned_multi_node_service_is_listed_once() -> None:
    both = {"defined": {"pair": "present"}}
    plans = [plan_of(planned("pair", ("gpu1", "gpu2"))), plan_of(planned("pair", ("gpu1", "gpu2"), url=None))]
    [found] = services_of([Host(f"gpu{number}", status=status(), plan=plan, **both) for number, plan in enumerate(plans, start=1)])
    assert (found["hosts"], found["state"]) == (["gpu1", "gpu2"], "not deployed")


@pytest.mark.parametrize(
    ("checked", "holds", "pending", "state"),
    [({"qwen3": "d1"}, True, False, "serving"), ({"qwen3": "d0"}, False, True, "serving"), ({"qwen3": "d0"}, True, True, "hold"), ({}, False, True, "serving")],
)
def test_a_change_of_the_inventory(checked: dict[str, str], holds: bool, pending: bool, state: str) -> None:
    [found] = services_of([host("gpu1", unit(), plan=plan_of(planned()), facts={"checked": checked}, holds=holds)])
    assert (found["pending"], found["state"], found["release"]) == (pending, state, "vllm-0.32.0-170296bd")
    [found] = services_of([host("gpu1", unit(), plan=plan_of(planned()), holds=holds)])
    assert found["pending"] is None


def test_a_deployment_that_was_rolled_back() -> None:
    """Its arguments were accepted, and the unit has its previous command."""
    [found] = services_of([host("gpu1", unit(command_digest="previous"), plan=plan_of(planned()), facts={"checked": {"qwen3": "d1"}})])
    assert found["pending"] is True


@pytest.mark.parametrize(
    ("keys", "entry", "endpoint"),
    [
        ({}, planned(url="https://llm.example.com:8001"), "https://llm.example.com:8001/v1"),
        ({"port": 8002}, planned(), "http://10.0.0.1:8002/v1"),
        ({"listens": "10.9.9.9", "scheme": "https"}, None, "https://10.9.9.9:8001/v1"),
        ({"listens": "fd00::1"}, None, "http://[fd00::1]:8001/v1"),
        ({"scheme": "", "port": 0}, None, ""),
    ],
)
def test_endpoints(keys: dict[str, Any], entry: dict[str, Any] | None, endpoint: str) -> None:
    """What runs, not what is planned."""
    [found] = services_of([host("gpu1", unit(**keys), plan=plan_of(entry) if entry else {})])
    assert found["endpoint"] == endpoint


def test_the_last_failure_of_all_units() -> None:
    first, second = pair(last_failure={"at": "2026-11-26T13:00:00+00:00", "reason": "b", "path": "/b"})
    first.units[0]["last_failure"] = {"at": "2026-11-26T12:00:00+00:00", "reason": "a", "path": "/a"}
    [found] = services_of([first, second])
    assert found["last_failure"] == {"host": "gpu2", "unit": "ray-worker-pair.service", "at": "2026-11-26T13:00:00+00:00", "reason": "b", "path": "/b"}


def test_what_the_inventory_does_not_name() -> None:
    there = host("gpu1", unit(), unit("old", active="inactive"), defined={"qwen3": "present"})
    found = document.build([there], VALID)
    assert [(item["service"], item["inventory"]) for item in found["services"]] == [("old", "none"), ("qwen3", "present")]
    [orphaned] = found["hosts"][0]["orphaned"]
    assert orphaned["unit"] == "vllm-old.service" and orphaned["fix"].endswith("-l gpu1 -e remove_service=old")
    # An inventory that cannot be read says nothing about a unit.
    found = document.build([host("gpu1", unit(), defined=None)], VALID)
    assert found["hosts"][0]["orphaned"] == [] and found["services"][0]["inventory"] == "unknown"


def test_one_service_alone() -> None:
    hosts = [host("gpu1", unit(), unit("old"), defined={"qwen3": "present"}), host("gpu2", unit("other"))]
    found = document.build(hosts, VALID, "qwen3")
    assert ([item["service"] for item in found["services"]], [item["host"] for item in found["hosts"]]) == (["qwen3"], ["gpu1"])
    assert found["hosts"][0]["orphaned"] == []
    assert document.build(hosts, VALID, "nix")["services"] == []


KERNEL = {
    "enabled": True, "files": [{"path": "/etc/sysctl.d/90-inferops.conf", "lines": []}], "obsolete": ["/etc/tmpfiles.d/inferops.conf"],
    "sysctl": {"net.core.somaxconn": "4096", "net.ipv4.tcp_rmem": "4096 131072 6291456", "missing.one": "1"},
}


def test_hosts_that_differ_from_the_plan() -> None:
    sysctl = {"net.core.somaxconn": {"value": "128"}, "net.ipv4.tcp_rmem": {"value": "4096\t131072\t6291456"}, "missing.one": {"value": None}}
    there = host("gpu1", plan=plan_of(kernel=KERNEL, firewall={"needed": True}), facts={"kernel": {"sysctl": sysctl}})
    found = document.build([there], VALID)["hosts"][0]["differs"]
    assert [item["text"] for item in found] == [
        "/etc/sysctl.d/90-inferops.conf differs from the plan", "/etc/tmpfiles.d/inferops.conf is not in the plan",
        "net.core.somaxconn is 128 instead of 4096", "UFW's state or its managed rules differ from the plan",
    ]
    many = {f"vm.a{number}": {"value": "0"} for number in range(8)}
    there = host("gpu1", plan=plan_of(kernel={**KERNEL, "files": [], "obsolete": [], "sysctl": dict.fromkeys(many, "1")}), facts={"kernel": {"sysctl": many}})
    found = document.build([there], VALID)["hosts"][0]["differs"]
    assert len(found) == 6 and found[-1]["text"] == "3 more kernel parameters differ from the plan"
    assert document.build([host("gpu1")], VALID)["hosts"][0]["differs"] == []


@pytest.mark.parametrize(
    ("plan", "valid", "message"),
    [
        (VALID, True, ""),
        ({"hosts": {}, "errors": [{}, {}], "msg": "…"}, False, "plan not valid: 2 errors, see playbooks/plan.yml"),
        ({"failed": True, "msg": "inferops.gpu is broken\nplease report"}, False, "the plan was not resolved: inferops.gpu is broken please report"),
        ({}, False, "the plan was not resolved: no result"),
    ],
)
def test_a_plan_that_is_not_valid(plan: dict[str, Any], valid: bool, message: str) -> None:
    found = document.build([host("gpu1", unit())], plan)
    assert (found["plan"]["valid"], found["plan"]["message"]) == (valid, message)
    assert found["services"][0]["state"] == "serving"


def test_gpus_with_their_health_and_services() -> None:
    card = {"index": 0, "uuid": "GPU-a", "name": "H100", "memory_used_bytes": 1, "memory_bytes": 2, "temperature": 30, "utilization": 0}
    health = [{"name": "xid", "gpu": 0, "level": "error", "cause": "Xid 79", "action": "reboot", "fix": "check its slot"}]
    facts = {"gpus": [{"index": 0, "error": "GPU is lost"}, {"index": 1, "error": "GPU requires reset"}], "gpu_error": "nvidia-smi failed"}
    there = host("gpu1", status=status(unit(), gpus=[card, {**card, "index": 1}]), facts={**facts, "gpu_health": health})
    found = document.build([there], VALID)["hosts"][0]
    assert [gpu["services"] for gpu in found["gpus"]] == [["qwen3"], []]
    assert [(item["gpu"], item["cause"]) for item in found["gpu_health"]] == [(0, "Xid 79"), (1, "GPU requires reset"), (None, "nvidia-smi failed")]
    # An orphaned unit uses a GPU while it runs.
    for active, users in (("active", ["old"]), ("inactive", [])):
        there = host("gpu1", status=status(unit("old", active=active), gpus=[card]), defined={})
        assert document.build([there], VALID)["hosts"][0]["gpus"][0]["services"] == users
    # A unit that does not name its GPUs.
    there = host("gpu1", status=status(unit(gpus=None), gpus=[card, {**card, "index": 1}]), plan=plan_of(planned(gpus=[1])))
    assert [gpu["services"] for gpu in document.build([there], VALID)["hosts"][0]["gpus"]] == [[], ["qwen3"]]
    # Facts without gpu_health.
    found = document.build([host("gpu1", unit(), facts=facts)], VALID)["hosts"][0]
    assert [item["gpu"] for item in found["gpu_health"]] == [0, 1, None]


def test_the_ports_of_unmanaged_processes() -> None:
    item = {"pid": 7, "program": "vllm serve", "user": "me", "unit": "", "gpus": []}
    there = host("gpu1", status=status(unmanaged=[item]), facts={"listeners": [{"port": 9000, "pid": 7}, {"port": 22, "pid": 1}]})
    assert document.build([there], VALID)["hosts"][0]["unmanaged"] == [{**item, "ports": [9000]}]


def test_hostile_texts_are_one_line() -> None:
    evil = "\x1b[2J\r\nkey sk-abcdefgh12345678 " + "x" * 5000
    there = host("gpu1", unit(evil, status=evil, model=evil), status=status(unit(evil, status=evil), unread={evil: evil}), error=evil)
    text = json.dumps(document.build([there], {"hosts": {}, "errors": [], "msg": evil}))
    assert "\\u001b" not in text and "\\r" not in text and "sk-abcdefgh" not in text and "x" * 1001 not in text


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"__status_read": {"status": {"units": []}}, "ansible_host": "10.0.0.1", "model_service_restart": "no"}, ("10.0.0.1", True, "", True)),
        ({"__status_read": {"unreachable": True, "msg": "no\nroute"}}, ("gpu1", False, "no route", False)),
        ({"__status_read": {"msg": 5}}, ("gpu1", True, "the state was not read", False)),
        ({"__status_read": {"status": "?"}, "model_service_restart": True}, ("gpu1", True, "the state was not read", False)),
    ],
)
def test_what_a_run_has_registered(variables: dict[str, Any], expected: tuple[Any, ...]) -> None:
    found = host_of("gpu1", {**variables, "status_defined": [{"name": "a", "state": "absent"}, {"name": 5}, "x"]}, {"gpu1": {"services": []}})
    assert (found.address, found.reachable, found.error, found.holds) == expected
    assert found.defined == {"a": "absent"} and found.plan == {"services": []}
    assert host_of("gpu1", variables, {}).defined is None
