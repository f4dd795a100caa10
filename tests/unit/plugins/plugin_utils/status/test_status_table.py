# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table for people: what is in it, in how many columns, and that Ansible breaks no line of it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.inferops.gpu.plugins.plugin_utils.status import document, table, values
from status_builders import ENGINE, host, pair, plan_of, planned, status, unit, unreachable

VALID = {"hosts": {}, "errors": []}
CARD = {
    "index": 0, "uuid": "GPU-a", "name": "NVIDIA H100 80GB HBM3", "memory_used_bytes": 70 * 2**30, "memory_bytes": 80 * 2**30, "temperature": 54,
    "utilization": 93,
}


def lines_of(*hosts: Any, plan: dict[str, Any] | None = None) -> list[str]:
    return table.lines(document.build(hosts, VALID if plan is None else plan))


def test_a_service_that_serves() -> None:
    assert lines_of(host("gpu1", unit())) == [
        "1 service: 1 serving; 1 host",
        "",
        "SERVICE  HOST  STATE    SINCE (UTC)  FOR    RUN  WAIT  KV   TOK/S  RESTARTS",
        "qwen3    gpu1  serving  11-26 11:00  3h00m  3    0     12%  812.5  0",
        "  http://10.0.0.1:8001/v1, chat",
        "  vllm-0.32.0-170296bd, revision 0123456789ab, memory 1.0G",
    ]


FAILURE = {"at": "2026-11-26T13:03:11+00:00", "reason": "the engine has ended", "path": "/f/1"}
CERTIFICATE = {"path": "/c.pem", "expires": "2027-01-05T14:00:00+00:00", "served_expires": "2027-01-05T14:00:00+00:00", "error": "", "renewed": False}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"active": "failed", "status": "failed: it ended"}, "  failed: it ended"),
        ({"active": "activating", "failed_starts": 3, "status": ""}, "  3 starts in a row failed"),
        ({"last_failure": FAILURE}, "  last failure 2026-11-26 13:03:11 UTC: the engine has ended (gpu1:/f/1)"),
        ({"last_failure": {**FAILURE, "reason": ""}}, "  last failure 2026-11-26 13:03:11 UTC: see its log (gpu1:/f/1)"),
        ({"last_failure_error": "/f: Permission denied"}, "  the logs of failures cannot be read: /f: Permission denied"),
        ({"engine": {**ENGINE, "error": "/metrics: refused"}}, "  the engine does not answer: /metrics: refused"),
        ({"adapters": ["a", "b"]}, "  adapters: a, b"),
        ({"adapters": ["a", "b"], "adapters_not_loaded": ["b"]}, "  adapters: a, b (not loaded)"),
        ({"adapters": ["a"], "adapters_not_loaded": None}, "  adapters: a (the engine does not tell whether it has loaded them)"),
        ({"adapters": ["a"], "adapters_not_loaded": None, "active": "inactive"}, "  adapters: a"),
        ({"certificate": CERTIFICATE}, "  certificate /c.pem is valid for 40 days"),
        ({"certificate": {**CERTIFICATE, "served_expires": "2026-11-30T14:00:00+00:00"}}, "  certificate /c.pem expires in 4 days, renew it"),
        ({"certificate": {**CERTIFICATE, "served_expires": "2026-11-20T14:00:00+00:00"}}, "  certificate /c.pem has expired, renew it"),
        (
            {"certificate": {**CERTIFICATE, "served_expires": "2026-11-30T14:00:00+00:00", "renewed": True}},
            "  the certificate's file has changed since the service has started: a\n    restart loads it",
        ),
        ({"certificate": {**CERTIFICATE, "error": "no file", "served_expires": ""}}, "  certificate /c.pem: no file"),
        ({"changed": [{"what": "unit_file", "path": "/u", "text": "/u has changed"}]}, "  changed outside: /u has changed"),
        ({"model": "other-name"}, "  http://10.0.0.1:8001/v1, other-name, chat"),
        ({"revision": ""}, "  vllm-0.32.0-170296bd, /models/Qwen--Qwen3/0123456789abcdef, memory 1.0G"),
    ],
)
def test_what_else_there_is_to_know(keys: dict[str, Any], expected: str) -> None:
    assert expected in "\n".join(lines_of(host("gpu1", unit(**keys))))


def test_the_inventory() -> None:
    said = lines_of(host("gpu1", unit(), plan=plan_of(planned()), facts={"checked": {}}))
    assert "  the plan has another configuration: site.yml applies it" in said
    assert "  state: absent in the inventory: site.yml removes it" in lines_of(host("gpu1", unit(), defined={"qwen3": "absent"}))
    said = lines_of(host("gpu1", unit(), unit("old", gpus=None), defined={"qwen3": "present"}))
    assert said[0] == "1 service: 1 serving; 1 not in the inventory; 1 host"
    assert "  gpu1: vllm-old.service, active, enabled, GPUs unknown, port 8001. Remove" in said and not any(line.startswith("old ") for line in said)


def test_hosts_that_were_not_read() -> None:
    said = lines_of(*pair()[:1], unreachable(defined={"pair": "present"}))
    assert said[:2] == ["1 service: 1 serving; 2 hosts", "gpu2 unreachable: Connection timed out"]
    assert "pair     gpu1+1  serving" in "\n".join(said) and "  nodes: gpu1, gpu2" in said and "  node gpu2 was not read: Connection timed out" in said


def test_each_node_says_what_it_knows() -> None:
    """Without those that serve, and once each."""
    first, second = pair(active="activating", status="starting: waiting for the leader")
    first.units[1].update(active="activating", status="degraded: node gpu2 missing since 2026-11-26 13:00:00 UTC", failed_starts=5)
    said = lines_of(first, second)
    assert "pair     gpu1+1  degraded" in "\n".join(said)
    assert [line for line in said if "missing" in line or "waiting" in line] == [
        "  gpu1: degraded: node gpu2 missing since 2026-11-26 13:00:00 UTC", "  gpu2: starting: waiting for the leader",
    ]


def test_a_plan_that_is_not_valid() -> None:
    said = lines_of(host("gpu1", unit()), plan={"hosts": {}, "errors": [{}]})
    assert said[1] == "plan not valid: 1 error, see playbooks/plan.yml. Hosts are not compared"


def full() -> list[str]:
    """A host with everything."""
    work = {"unit": "u", "since": "", "error": "", "fix": "", "text": ""}
    download = {**work, "name": "qwen3-0123", "state": "running", "bytes": 1, "total_bytes": 2**33, "rate": 2**20, "eta_seconds": 4096, "fraction": 0.5}
    rest = {
        "gpus": [CARD, {**CARD, "index": 1, "temperature": None, "utilization": None, "memory_used_bytes": None}],
        "disks": [{"mount": "/", "size_bytes": 2**40, "free_bytes": 2**38, "holds": ["weights", "system"]}],
        "downloads": [download, {**download, "fraction": None, "text": "asking"}, {**download, "state": "failed", "error": "the disk is full", "fix": "free it"}],
        "builds": [{**work, "name": "vllm-1", "state": "running", "text": "installing"}],
        "connections": {"count": 5, "max": 10, "drop": 0, "early_drop": None},
        "unmanaged": [{"pid": 7, "program": "vllm serve", "user": "me", "unit": "x.service", "gpus": [1]}],
        "unread": {"disk of cache": "it did not answer within 5 s"},
    }
    health = [{"name": "xid", "gpu": 1, "level": "error", "cause": "Xid 79", "action": "drain it", "fix": "reboot the host"}]
    plan = plan_of(firewall={"needed": True})
    return lines_of(host("gpu1", unit(), status=status(unit(), **rest), facts={"gpu_health": health, "kernel": {"sysctl": {}}}, plan=plan))


@pytest.mark.parametrize(
    "line",
    [
        "gpu1  0    NVIDIA-H100-80GB-HBM3  70.0      80.0    54C   93%   ok      qwen3",
        "gpu1  1    NVIDIA-H100-80GB-HBM3  -         80.0    -     -     error   -",
        "gpu1 GPU 1 error: Xid 79. Fix: drain it. reboot the host",
        "gpu1  /     1.0T  256.0G  75%   weights,system",
        "gpu1: download qwen3-0123 running: 50% of 8.0G, 1.0M/s, 1h08m left",
        "gpu1: download qwen3-0123 running: asking",
        "gpu1: download qwen3-0123 failed: the disk is full. Fix: free it",
        "gpu1: build of vllm-1 running: installing",
        "gpu1  5            10   0     -           -              -",
        "  gpu1: process 7 (vllm serve), user me, unit x.service, GPUs 1",
        "  gpu1: UFW's state or its managed rules differ from the plan",
        "  gpu1: disk of cache: it did not answer within 5 s",
    ],
)
def test_what_a_host_has(line: str) -> None:
    assert line in full()


def test_ansible_breaks_no_line() -> None:
    """Its callback prints a list as YAML, which breaks lines of more than 80 columns at single spaces."""
    name = "a-service-with-a-very-long-name"
    said = [*full(), *lines_of(host("gpu-node-with-a-long-name-17", unit(name, changed=[{"what": "x", "path": "/p", "text": "word " * 40}])))]
    printed = yaml.safe_dump({"msg": said}, default_flow_style=False, allow_unicode=True).splitlines()
    assert len(printed) == len(said) + 1
    assert max(map(len, full())) <= 100


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m00s"), (3599, "59m59s"), (3600, "1h00m"), (86399, "23h59m"), (90000, "1d1h"), (-5, "0s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert values.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(None, "-"), (0, "0"), (1023, "1023"), (1024, "1.0K"), (3 * 2**20, "3.0M"), (5 * 2**30, "5.0G"), (2**41, "2.0T")],
)
def test_sizes(size: int | None, text: str) -> None:
    assert values.size(size) == text


@pytest.mark.parametrize("text", ["", "soon", "2026-11-26T14:00:00", "2026"])
def test_times_that_are_none(text: str) -> None:
    assert values.moment(text) is None and values.clock(text) == text and values.seconds_between(text, "2026-11-26T14:00:00+00:00") is None
