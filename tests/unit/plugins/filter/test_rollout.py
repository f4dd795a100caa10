# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of replicas, and what a rollout that stops says."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.filter.rollout import batch_size, restarting_services, rollout_report, rollout_steps, standing_replicas, stopped_rollouts

HOSTS = ["g1", "g2", "g3", "g4"]
SERVICES: list[dict[str, Any]] = [{"name": "a", "replicas": HOSTS}, {"name": "b", "replicas": ["g2"]}, {"name": "pair", "replicas": []}]


def steps(restarting: dict[str, list[str]], most: int | str = 1, hosts: list[str] = HOSTS, alone: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Services by host and step, as C(g1:0/4)."""
    found: dict[str, list[str]] = {}
    for host in hosts:
        for name, row in rollout_steps(SERVICES, restarting, hosts, host, most, alone).items():
            found.setdefault(name, []).append(f"{host}:{row['step']}/{row['steps']}")
    return found


@pytest.mark.parametrize(("restarting", "most", "expected"), [
    ({host: ["a"] for host in HOSTS}, 1, {"a": ["g1:0/4", "g2:1/4", "g3:2/4", "g4:3/4"]}),
    ({host: ["a"] for host in HOSTS}, "50%", {"a": ["g1:0/2", "g2:0/2", "g3:1/2", "g4:1/2"]}),
    ({host: ["a"] for host in HOSTS}, 3, {"a": ["g1:0/2", "g2:0/2", "g3:0/2", "g4:1/2"]}),
    ({"g2": ["a"], "g4": ["a"]}, 1, {"a": ["g2:0/2", "g4:1/2"]}),
    ({"g2": ["a", "b"]}, 1, {"a": ["g2:0/1"]}),
    ({}, 1, {}),
])
def test_replicas_change_in_the_order_of_the_inventory(restarting: dict[str, list[str]], most: int | str, expected: dict[str, list[str]]) -> None:
    """Those that restart; a service without another replica has no order."""
    assert steps(restarting, most) == expected


@pytest.mark.parametrize(("restarting", "host", "expected"), [
    ({"g2": ["a"]}, "g1", ["a"]),
    ({"g2": ["a"]}, "g2", []),
    ({"g1": ["a"], "g2": ["a"]}, "g1", []),
    ({"g1": ["b"]}, "g1", []),
    ({}, "g1", []),
])
def test_replicas_that_have_to_serve_meanwhile(restarting: dict[str, list[str]], host: str, expected: list[str]) -> None:
    """Those that do not restart, while others of the service do."""
    assert standing_replicas(SERVICES, restarting, host) == expected


@pytest.mark.parametrize(("most", "down", "expected"), [
    (1, ["g1"], {"g2": "0/3 no", "g3": "1/3 no", "g4": "2/3 no"}),
    (2, ["g1"], {"g2": "0/3", "g3": "1/3", "g4": "2/3"}),
    (3, ["g1"], {"g2": "0/2", "g3": "0/2", "g4": "1/2"}),
    (2, ["g1", "g2"], {"g3": "0/2 no", "g4": "1/2 no"}),
    ("50%", [], {"g2": "0/2", "g3": "0/2", "g4": "1/2"}),
])
def test_replicas_of_failed_hosts_count_as_unavailable(most: int | str, down: list[str], expected: dict[str, str]) -> None:
    """So that fewer change at the same time. If none may, the rollout does not begin, also where one other replica is left."""
    hosts = [host for host in HOSTS if host not in down]
    restarting = {host: ["a"] for host in HOSTS[1:]}
    rows = {host: rollout_steps(SERVICES, restarting, hosts, host, most, unavailable=down).get("a") for host in hosts}
    assert {host: f"{row['step']}/{row['steps']}{' no' if stopped_rollouts({'a': row}, hosts) else ''}" for host, row in rows.items() if row} == expected
    if down == ["g1"] and most == 1:
        assert stopped_rollouts({"a": rows["g2"] or {}}, hosts)["a"].startswith("g1 failed before it began or cannot be reached")


def test_the_only_replica_of_the_run_has_no_order() -> None:
    """With -l g2, say."""
    assert steps({"g2": ["a"]}, hosts=["g2"]) == {}


def test_services_alone_change_in_the_first_step() -> None:
    """Also multi-node ones, whose nodes change together."""
    found = steps({host: ["a", "b", "pair"] for host in ("g1", "g2")}, hosts=["g1", "g2"], alone=("b", "pair"))
    assert found == {"a": ["g1:0/2", "g2:1/2"], "b": ["g1:0/1", "g2:0/1"], "pair": ["g1:0/1", "g2:0/1"]}


@pytest.mark.parametrize(("most", "replicas", "size"), [(1, 4, 1), ("2", 4, 2), ("25%", 4, 1), ("25%", 3, 1), ("50%", 5, 2), ("100%", 7, 7)])
def test_a_percentage_is_rounded_down(most: int | str, replicas: int, size: int) -> None:
    """And is at least one."""
    assert batch_size(most, replicas) == size


def test_a_failed_host_stops_its_services() -> None:
    """Services of other hosts go on."""
    rows = {"a": {"order": ["g1", "g2", "g3"]}, "b": {"order": ["g2"]}}
    assert stopped_rollouts(rows, ["g2", "g3"]) == {"a": "the change failed on g1"}


REPORTS: list[tuple[list[str], dict[str, Any], dict[str, str], str]] = [
    ([], {}, {}, "This host keeps its previous state."),
    (["a"], {"a": {"action": "restored", "release": "r1"}}, {}, "went back to its previous state, release r1."),
    (["a"], {"a": {"action": "restored", "release": "r1"}}, {"a": "it fell"}, "the state before that change fails too: it fell"),
    (["a"], {"a": {"action": "unchanged", "why": "its release is gone"}}, {}, "keeps the change: its release is gone."),
]


@pytest.mark.parametrize(("changed", "outcomes", "errors", "end"), REPORTS)
def test_the_report_says_what_this_host_has_now(changed: list[str], outcomes: dict[str, Any], errors: dict[str, str], end: str) -> None:
    said = rollout_report({"a": "the change failed on g1"}, {"a": {"order": ["g1", "g2"]}}, changed, outcomes, errors)
    assert said.startswith("Rollout of service a (g1, g2) stopped: the change failed on g1. ") and said.endswith(end)


def test_without_a_stop_there_is_no_report() -> None:
    assert rollout_report({}, {"a": {"order": ["g1", "g2"]}}, ["a"], {}, {}) == ""


def test_a_service_restarts_if_any_of_its_units_does() -> None:
    """Ray's head alone, or a worker whose unit another one replaces. A service that is removed does not restart."""
    rows = [
        {"name": name, "state": state, "unit": f"vllm-{name}.service", "unit_states": [{"unit": f"ray-head-{name}.service"}, {"unit": f"vllm-{name}.service"}]}
        for name, state in (("a", "present"), ("b", "present"), ("c", "present"), ("d", "absent"))
    ]
    assert restarting_services(rows, {"restarts": ["ray-head-a.service"], "stops": ["ray-head-b.service", "vllm-d.service"]}) == ["a", "b"]
