# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The doctor's judgement of facts, and its report."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import error
from ansible_collections.inferops.gpu.plugins.plugin_utils.diagnosis import clock, disk, firewall, fleet, gpus, kernel, ports, reach, report, versions
from ansible_collections.inferops.gpu.plugins.plugin_utils.diagnosis.host import Host
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.advisories import Advisories

ROOT = Path(__file__).resolve().parents[5]
ADVISORIES = Advisories(yaml.safe_load((ROOT / "roles/plan/files/advisories.yml").read_text(encoding="utf-8")))
GIB = 1024**3

UNIT = {"unit": "vllm-q.service", "service": "q", "port": 8001, "gpus": [0], "active": "active", "status": "serving, 0 running"}
FACTS: dict[str, Any] = {
    "services": [UNIT],
    "listeners": [{"port": 8001, "address": "0.0.0.0", "pid": 7, "program": "VLLM", "unit": "vllm-q.service"}],
    "interfaces": {"eth0": ["10.0.0.1"]},
    "mounts": [{"mount": "/", "size_bytes": 500 * GIB, "free_bytes": 200 * GIB, "free_files": 10**6, "options": ["rw"]}],
    "paths": {},
    "gpus": [{"index": 0, "error": "", "driver_version": "580.95.05"}], "gpu_error": "", "driver_module": "580.95.05", "fabric_manager": "", "nvswitches": 0,
    "cuda_releases": {"vllm-0.32.0-aa": {"cuda": "13.0", "changed": []}},
    "firewall": {"state": {"installed": True, "enabled": True, "loaded": True, "active": True, "boot": True, "rules": []}, "published": [], "others": []},
    "kernel": {"sysctl": {"net.core.somaxconn": {"value": "65535", "exists": True, "conflicts": []}}, "transparent_hugepages": "madvise", "governors": []},
    "conntrack": {"count": 10, "max": 1000, "drop": 0, "early_drop": None, "insert_failed": 0},
    "unanswered": {},
}
PLAN: dict[str, Any] = {
    "host": "gpu1",
    "paths": {"releases": "/opt/inferops/releases", "models": "/var/lib/inferops/models", "state": "/var/lib/inferops", "cache": "/var/cache/inferops"},
    "firewall": {"enabled": True},
    "kernel": {"enabled": True, "sysctl": {"net.core.somaxconn": "65535"}, "transparent_hugepages": "", "cpu_governor": ""},
    "services": [{
        "name": "q", "state": "present", "port": 8001, "address": "0.0.0.0", "url": "http://10.0.0.1:8001", "release": "vllm-0.32.0-aa", "node": None,
        "cache": "/var/cache/inferops/q", "units": [{"unit": "vllm-q.service"}],
    }],
}
FOUND: dict[str, Any] = {
    "findings": [], "unknown": {}, "interfaces": {"eth0": 1500}, "clock": {"started": 100.4, "ended": 100.9}, "controller": {"before": 100.0, "after": 101.0},
    "running": [{"unit": "vllm-q.service", "service": "q", "engine": "vllm", "version": "0.32.0", "release": "vllm-0.32.0-aa", "ray": "", "arguments": {}}],
}


def host(name: str = "gpu1", facts: dict[str, Any] | None = None, plan: dict[str, Any] | None = None, found: dict[str, Any] | None = None) -> Host:
    """A host that is well, with other values at dotted paths."""
    parts = []
    for usual, changes in ((FACTS, facts), (PLAN, plan), (FOUND, found)):
        part = copy.deepcopy(usual)
        for path, value in (changes or {}).items():
            place = part
            *above, last = path.split("/")
            for step in above:
                place = place[int(step)] if isinstance(place, list) else place[step]
            place[int(last) if isinstance(place, list) else last] = value
        parts.append(part)
    return Host(name, facts=parts[0], plan=parts[1], found=parts[2])


def checks(*hosts: Host, errors: list[Any] = [], message: str = "", connected: Callable[..., str] = lambda address: "") -> list[str]:  # noqa: B006
    found = report.report(hosts, errors, message, ADVISORIES, connected)
    return [f"{finding['level'][0]}:{finding['service'] or ''}:{finding['check']}" for one in found.values() for finding in one["findings"]]


def test_a_host_that_is_well() -> None:
    found = report.report([host()], [], "", ADVISORIES, lambda address: "")
    assert found == {"gpu1": {"verdict": "well", "services": {"q": {"verdict": "well", "status": "serving, 0 running"}}, "findings": [], "unknown": {}}}
    assert report.lines(found) == ["gpu1: well", "  q: well (serving, 0 running)"]


FULL = {"mount": "/var/lib/inferops", "size_bytes": 500 * GIB, "free_bytes": GIB // 2, "free_files": None, "options": ["rw"]}
HELD = {"port": 8001, "address": "127.0.0.1", "pid": 9, "program": "nginx", "unit": "nginx.service"}
FACT_CASES: list[tuple[str, Any, list[str]]] = [
    # Ports
    ("listeners", [HELD], ["e:q:port-taken"]),
    ("listeners", [{**HELD, "port": 8002}], []),
    ("listeners", [{**HELD, "pid": None, "program": "", "unit": ""}], ["e:q:port-taken"]),
    # Disks
    ("mounts/0/free_bytes", 10 * GIB, ["w::disk-nearly-full"]),
    ("mounts/0/free_bytes", GIB // 2, ["e::disk-full"]),
    ("mounts", [*FACTS["mounts"], FULL], ["e::disk-full"]),
    ("mounts", [*FACTS["mounts"], {**FULL, "mount": "/srv"}], []),
    ("mounts/0/free_files", 5000, ["w::disk-inodes"]),
    ("mounts/0/free_files", 10, ["e::disk-inodes"]),
    ("mounts/0/options", ["ro", "relatime"], ["e::disk-read-only"]),
    ("mounts", [], []),
    # GPUs
    ("gpu_error", "Failed to initialize NVML: Driver/library version mismatch", ["e::driver"]),
    ("amd", {"error": "amd-smi gave no answer", "fix": "the driver hangs"}, ["e::driver"]),
    ("amd", {"error": "", "gpus": []}, []),
    ("gpus/0/error", "GPU is lost", ["e:q:gpu"]),
    ("nvswitches", 4, ["e::fabric-manager"]),
    ("cuda_releases/vllm-0.32.0-aa/changed", ["the driver is 590 now and was 580"], ["w:q:cuda-smoke-test"]),
    ("cuda_releases", {"vllm-0.31.0-bb": {"changed": ["x"]}}, []),
    ("gpu_health", [{"name": "gpu-xid", "gpu": 0, "level": "error", "cause": "Xid 79", "action": "reboot", "fix": "reboot"}], ["e::gpu-xid"]),
    ("gpu_health", [{"name": "gpu-ecc", "gpu": None, "level": "warning", "cause": "x", "action": "", "fix": "y"}], ["w::gpu-ecc"]),
    # Firewall
    ("firewall/state/enabled", False, ["e::firewall-off"]),
    ("firewall/state/installed", False, ["e::firewall-off"]),
    ("firewall/state/loaded", False, ["e::firewall-not-loaded"]),
    ("firewall/state/boot", False, ["w::firewall-boot"]),
    ("firewall/state/pending", True, ["w::firewall-pending"]),
    ("firewall/published", [8001, 9999], ["w::firewall-published"]),
    ("firewall/others", ["firewalld is active"], ["w::firewall-others"]),
    # Kernel
    ("kernel/sysctl/net.core.somaxconn/value", "128", ["w::sysctl"]),
    ("kernel/sysctl/net.core.somaxconn/conflicts", ["4096"], ["w::sysctl-conflict"]),
    ("kernel/sysctl/net.core.somaxconn/exists", False, []),
    ("conntrack/count", 850, ["w::conntrack-full"]),
    ("conntrack/count", 990, ["e::conntrack-full"]),
    ("conntrack/drop", 3, ["w::conntrack-drops"]),
    ("conntrack", {}, []),
    # Updates
    ("green_units", ["inferops-green-q.service"], ["w:q:update-unfinished"]),
    ("green_units", [], []),
]


@pytest.mark.parametrize(("path", "value", "expected"), FACT_CASES)
def test_facts(path: str, value: Any, expected: list[str]) -> None:
    assert checks(host(facts={path: value})) == expected


PLAN_CASES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"kernel/transparent_hugepages": "never"}, {}, ["w::kernel-setting"]),
    ({"kernel/enabled": False}, {"kernel/sysctl/net.core.somaxconn/value": "1"}, []),
    ({"firewall/enabled": False}, {"firewall/state/enabled": False, "firewall/published": [1]}, []),
    ({"services/0/state": "absent"}, {"listeners": []}, []),
]


@pytest.mark.parametrize(("plan", "facts", "expected"), PLAN_CASES)
def test_plans(plan: dict[str, Any], facts: dict[str, Any], expected: list[str]) -> None:
    assert checks(host(plan=plan, facts=facts)) == expected


@pytest.mark.parametrize(("started", "ended", "expected"), [
    (100.4, 100.9, []),
    # The transfer took its time, or the clocks differ: nobody knows.
    (101.9, 101.95, []),
    (50.0, 50.5, ["w::clock"]),
    (130.0, 130.5, ["w::clock"]),
    (3700.0, 3700.5, ["e::clock"]),
])
def test_clocks(started: float, ended: float, expected: list[str]) -> None:
    assert checks(host(found={"clock": {"started": started, "ended": ended}})) == expected


def test_a_clock_says_by_how_much() -> None:
    (found,) = clock.check(host(found={"clock": {"started": 50.0, "ended": 50.5}}))
    assert "at least 50 s behind the controller's" in found.cause
    (found,) = clock.check(host(found={"clock": {"started": 130.0, "ended": 130.5}}))
    assert "at least 30 s ahead of the controller's" in found.cause


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, []),
    ({"version": "0.20.1", "arguments": {"pipeline_parallel_size": 2}}, ["e:q:known-bug"]),
    ({"version": "0.20.1", "arguments": {"pipeline_parallel_size": 2, "async_scheduling": False}}, []),
    ({"version": "0.20.1"}, []),
    ({"ray": "2.53.0"}, ["e:q:known-bug"]),
    ({"engine": "transformers", "version": "0.20.1", "ray": "2.40.0"}, []),
])
def test_known_bugs_of_what_runs(changes: dict[str, Any], expected: list[str]) -> None:
    assert checks(host(found={f"running/0/{name}": value for name, value in changes.items()})) == expected


def test_a_bug_is_named_with_its_fix() -> None:
    (found,) = versions.check(host(found={"running/0/ray": "2.53.0"}), ADVISORIES)
    assert found.cause.startswith("CVE-2026-27482 applies to vllm-q.service (vllm-0.32.0-aa): ")
    assert "2.54.0" in found.command and "nvd.nist.gov" in found.detail


NODE = {"nodes": [{"host": "gpu1", "address": "10.0.0.1"}, {"host": "gpu2", "address": "10.0.0.2"}, {"host": "gpu3", "address": "10.0.0.3"}]}


def node(number: int, facts: dict[str, Any] | None = None, found: dict[str, Any] | None = None) -> Host:
    """A node of a service on three hosts."""
    return host(
        f"gpu{number}", {"interfaces": {"eth0": [f"10.0.0.{number}"]}, **(facts or {})},
        {"host": f"gpu{number}", "services/0/node": NODE, "services/0/url": None}, found,
    )


FLEETS: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {}, []),
    ({}, {"interfaces": {"eth0": 9000}}, ["e:q:mtu-differs"]),
    ({}, {"interfaces": {}}, []),
    ({}, {"running/0/release": "vllm-0.31.0-bb"}, ["e:q:version-differs"]),
    ({"driver_module": "570.1.1"}, {}, ["w:q:driver-differs"]),
    ({}, {"clock": {"started": 160.4, "ended": 160.9}}, ["w::clock", "w:q:clock-nodes", "w:q:clock-nodes"]),
]


@pytest.mark.parametrize(("facts", "found", "expected"), FLEETS)
def test_nodes_that_differ(facts: dict[str, Any], found: dict[str, Any], expected: list[str]) -> None:
    assert sorted(checks(node(1), node(2), node(3, facts, found))) == expected


def test_the_node_that_differs_is_named() -> None:
    ((name, found),) = fleet.check([node(1), node(2, found={"interfaces": {"eth0": 9000}}), node(3)])
    assert name == "gpu2" and found.cause == "the network interface's MTU is 9000 here and 1500 on gpu1, gpu3"


def test_a_port_that_the_controller_does_not_reach() -> None:
    assert checks(host(), connected=lambda address: "timed out") == ["w:q:api-unreachable"]
    # Nothing listens, or on loopback only: the firewall is not the cause.
    assert checks(host(facts={"listeners": []}), connected=lambda address: "refused") == []
    assert checks(host(plan={"services/0/address": "127.0.0.1"}), connected=lambda address: "refused") == []


def test_connecting() -> None:
    assert "refused" in reach.connect(("127.0.0.1", 1)).lower()


def test_hosts_without_anything() -> None:
    """Unreachable, without a plan, with tasks that failed."""
    bare = Host("gpu9", unreachable="No route to host", plan=PLAN)
    failed = Host("gpu8", failed={"host_facts": "it broke"})
    found = report.report([bare, failed, host()], [], "", ADVISORIES, lambda address: "")
    assert [found[name]["verdict"] for name in ("gpu9", "gpu8", "gpu1")] == ["error", "error", "well"]
    assert found["gpu9"]["services"]["q"]["verdict"] == "unknown"
    assert "No route to host" in report.lines(found)[3] and "what only the plan knows" in found["gpu8"]["unknown"] and not found["gpu9"]["unknown"]


ERRORS = [
    {"host": "gpu1", "service": "q", "key": "port", "value": "80", "why": "it is taken", "fix": "x"},
    {"host": "gpu1", "service": "q", "key": "", "value": "", "why": "another reason", "fix": "x"},
    {"host": "elsewhere", "service": "z", "key": "", "value": "", "why": "of a host that is not in this run", "fix": "x"},
]


def test_an_invalid_plan_is_a_finding() -> None:
    without = Host("gpu1", facts=FACTS, found=FOUND)
    found = report.report([without], ERRORS, "2 errors", ADVISORIES, lambda address: "")
    (one,) = found["gpu1"]["findings"]
    assert (one["check"], one["service"], one["command"]) == ("plan", "q", "ansible-playbook playbooks/plan.yml")
    assert one["cause"] == "the plan has an error, so the next run stops: port = 80: it is taken (and 1 more)" and "another reason" in one["detail"]
    assert checks(without, message="it broke") == ["e::plan"]


def test_without_a_plan_managed_rules_expect_a_firewall() -> None:
    off = {"firewall/state/enabled": False}
    rules = {"firewall/state/rules": [{"comment": "inferops:ssh"}]}
    for facts, expected in ((off, []), ({**off, **rules}, ["firewall-off"])):
        one = host(facts=facts)
        assert [found.check for found in firewall.check(Host("gpu1", facts=one.facts))] == expected


def test_lines_have_causes_and_commands() -> None:
    one = host(facts={"unanswered": {"weights": "it did not answer within 60 s"}}, found={"findings": [error("x", "a cause", "a command", "q").to_dict()]})
    lines = report.lines(report.report([one], [], "", ADVISORIES, lambda address: ""))
    assert lines == [
        "gpu1: error (1 error)", "  q: error (serving, 0 running)", "    error: a cause [x]", "      run: a command",
        "  not read: the fact weights: it did not answer within 60 s",
    ]


def test_names_of_checks_are_documented() -> None:
    """Each check of the code has a row in docs/doctor.md, and each row has a check."""
    folders = (ROOT / "plugins/module_utils/diagnosis", ROOT / "plugins/plugin_utils/diagnosis")
    text = "".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("*.py"))
    named = set(re.findall(r'(?:error|warning|build)\(\s*"([a-z-]+)"', text)) | set(re.findall(r'_of, "([a-z-]+)"', text))
    rows = set(re.findall(r"^\| `([a-z-]+)` (?:\* )?\|", (ROOT / "docs/doctor.md").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert len(named) > 40 and sorted(named) == sorted(rows)


def test_the_report_is_json() -> None:
    assert json.loads(json.dumps(report.report([host()], [], "", ADVISORIES, lambda address: "")))


def test_each_subject_alone_with_nothing_known() -> None:
    """Facts of an old version, or none: no exception."""
    for check in (ports.check, disk.check, gpus.check, firewall.check, kernel.check, clock.check):
        assert list(check(Host("gpu1"))) == []
