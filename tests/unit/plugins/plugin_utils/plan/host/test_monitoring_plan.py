# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Prometheus scrapes on a host and under which labels, and what the firewall admits for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import host_facts, service

Plans = Callable[..., Plan]
KNOWN = host_facts(firewall={"ssh_ports": [22]})
ELSEWHERE = {"monitoring_host": "mon1", "monitoring_address": "10.0.0.9"}
HERE = {"monitoring_host": "gpu1", "monitoring_address": "10.0.0.1"}
TLS = {"vllm_args": {"ssl_certfile": "/etc/ssl/a.crt", "ssl_keyfile": "/etc/ssl/a.key"}, "tls_server_name": "api.example"}


def monitoring(made: Plan) -> dict[str, Any]:
    """The monitoring of the only host."""
    assert not made.errors, made.errors
    found: dict[str, Any] = made.hosts["gpu1"]["monitoring"]
    return found


def opened(made: Plan) -> list[tuple[int, str, str]]:
    """Port, source and comment of each rule for monitoring."""
    rules = [rule for rule in made.hosts["gpu1"]["firewall"]["rules"] if "metrics" in rule["comment"] or "monitor" in rule["comment"]]
    return [(rule["port"], source, rule["comment"]) for rule in rules for source in rule["sources"]]


def test_without_monitoring(plan: Plans) -> None:
    for variables in ({}, {**ELSEWHERE, "monitoring_state": "absent"}):
        made = plan(service(), facts=KNOWN, **variables)
        assert monitoring(made) is None and opened(made) == []


def test_targets_and_labels(plan: Plans) -> None:
    found = monitoring(plan(
        service(api_key="k", objectives={"ttft_seconds": "2", "ttft_ratio": 0.99}, served_model_name="org/name"), facts=KNOWN, ansible_host="10.0.0.5",
        monitoring_cluster="berlin", monitoring_dcgm_exporter_port=9400, **ELSEWHERE,
    ))
    node, dcgm, engine = found["targets"]
    own = {"cluster": "berlin", "host": "gpu1"}
    assert (node["job"], node["address"], node["labels"]) == ("inferops-node", "10.0.0.5:9100", own)
    assert (dcgm["job"], dcgm["address"], dcgm["labels"]) == ("dcgm", "10.0.0.5:9400", own)
    assert (engine["job"], engine["address"], engine["scheme"], engine["server_name"]) == ("vllm", "10.0.0.5:8001", "http", "")
    labels = engine["labels"]
    assert labels == {**own, "service": "qwen", "model": "org/name", "release": labels["release"], "task": "chat"} and labels["release"].startswith("vllm-")
    assert found["services"] == [{**labels, "objectives": {"ttft_seconds": 2.0, "ttft_ratio": 0.99}}]
    assert (found["host"], found["source"]) == ("mon1", "10.0.0.9")


@pytest.mark.parametrize(
    ("keys", "variables", "address"),
    [
        ({}, {"ansible_host": "10.0.0.5", "monitoring_target_address": "192.0.2.5"}, "192.0.2.5:8001"),
        ({"host": "10.1.0.5"}, {"ansible_host": "10.0.0.5"}, "10.1.0.5:8001"),
        ({}, {"ansible_host": "fd00::5"}, "[fd00::5]:8001"),
        ({}, {}, "gpu1:8001"),
        ({"host": "127.0.0.1"}, {"ansible_host": "10.0.0.5", **HERE}, "127.0.0.1:8001"),
        ({"host": "127.0.0.1"}, {"ansible_host": "10.0.0.5"}, None),
    ],
    ids=["of its own", "of the service", "IPv6", "a name", "loopback on Prometheus' host", "loopback elsewhere"],
)
def test_addresses(plan: Plans, keys: dict[str, Any], variables: dict[str, Any], address: str | None) -> None:
    targets = monitoring(plan(service(**keys), facts=KNOWN, **{**ELSEWHERE, **variables}))["targets"]
    assert [target["address"] for target in targets if target["job"] == "vllm"] == ([address] if address else [])


def test_tls(plan: Plans) -> None:
    """The name in the certificate matters where it is not the address."""
    for address, name in (("10.0.0.5", "api.example"), ("api.example", "")):
        (_node, engine) = monitoring(plan(service(**TLS), facts=KNOWN, ansible_host=address, **ELSEWHERE))["targets"]
        assert (engine["scheme"], engine["server_name"]) == ("https", name)


def test_the_firewall_admits_prometheus_alone(plan: Plans) -> None:
    made = plan(service(), facts=KNOWN, firewall_api_sources=["192.0.2.0/24"], monitoring_dcgm_exporter_port=9400, **ELSEWHERE)
    assert opened(made) == [
        (9100, "10.0.0.9/32", "inferops: metrics"), (9400, "10.0.0.9/32", "inferops: metrics"), (8001, "10.0.0.9/32", "inferops: metrics qwen"),
    ]
    assert "inferops: metrics qwen" in made.hosts["gpu1"]["firewall"]["service_comments"]["qwen"]


def test_the_firewall_of_prometheus_host(plan: Plans) -> None:
    """It scrapes itself without a rule; users need one, and get none for Alertmanager."""
    assert opened(plan(service(), facts=KNOWN, **HERE)) == []
    made = plan(service(), facts=KNOWN, monitoring_ui_sources=["192.0.2.0/24"], **HERE)
    assert opened(made) == [(9090, "192.0.2.0/24", "inferops: monitoring")]
    assert opened(plan(service(), facts=KNOWN, monitoring_ui_sources=["192.0.2.0/24"], monitoring_files_dir="/srv/p/i", **HERE)) == []


def test_a_source_that_is_allowed_already(plan: Plans) -> None:
    """It keeps its rule: UFW knows no second one for the same source and port."""
    made = plan(service(), facts=KNOWN, firewall_api_sources=["10.0.0.9/32"], **ELSEWHERE)
    assert opened(made) == [(9100, "10.0.0.9/32", "inferops: metrics")]


def test_settings_of_the_collector(plan: Plans) -> None:
    accepted = {"open-port": "x", "key-scope": "x"}
    collector = monitoring(plan(service(api_key="k"), facts=KNOWN, weights_dir="/srv/w", plan_accept=accepted, **ELSEWHERE))["collector"]
    assert collector["weights_dir"] == "/srv/w" and collector["state_dir"] == "/var/lib/inferops"
    # Accepted advisories apply all the same.
    assert "key-scope" in [advisory["name"] for advisory in collector["advisories"]["qwen"]["advisories"]]
    assert collector["advisories"]["qwen"]["release"].startswith("vllm-")


def test_objectives_do_not_restart_a_service(plan: Plans) -> None:
    digests = {plan(service(objectives=objectives), facts=KNOWN).hosts["gpu1"]["services"][0]["digest"] for objectives in (None, {"error_ratio": 0.01})}
    assert len(digests) == 1


@pytest.mark.parametrize(("name", "low"), [("monitoring_scrape_interval", 5), ("monitoring_collector_interval", 10)])
def test_intervals_have_limits(plan: Plans, name: str, low: int) -> None:
    """The rules' windows have to contain several values, and a run of the collector has to end before the next one."""
    for seconds in (low, 60):
        assert not plan(service(), facts=KNOWN, **ELSEWHERE, **{name: seconds}).errors
    for seconds in (0, low - 1, 61):
        (error,) = plan(service(), facts=KNOWN, **ELSEWHERE, **{name: seconds}).errors
        assert name in str(error) and f"{low} to 60" in str(error)
