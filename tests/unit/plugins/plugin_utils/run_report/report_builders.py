# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports of runs that nobody has run."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report import contents
from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report.recorder import Record

NOW = 1795736517.0
RELEASE = "vllm-0.32.0-f71b1ceb"
REVISION = "e156cb4efae43fbee1a1ab073f946a1377e6b969"
WEIGHTS = f"/var/lib/inferops/models/Qwen--Qwen3-235B-A22B-Instruct-2507-FP8/{REVISION}"
RUN = {
    "playbook": "site.yml", "check_mode": False, "limit": "qwen235b", "tags": [], "skip_tags": [], "inventory": ["/srv/gpu/inventories/mine"], "user": "ada",
    "controller": "deploy1", "ansible": "2.19.14", "collection": "0.1.0", "commits": {"/srv/gpu": {"commit": "4" * 40, "modified": True}},
}
NOTHING = contents.PlanFindings()


def service(name: str = "qwen3-235b", **changes: Any) -> dict[str, Any]:
    """A service of a plan."""
    return {
        "name": name, "state": "present", "unit": f"vllm-{name}.service", "units": [{"unit": f"vllm-{name}.service"}], "engine": "vllm",
        "model": "qwen3-235b-a22b-instruct-2507-fp8", "repo": "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "revision": REVISION, "release": RELEASE,
        "weights": "Qwen", "weights_path": WEIGHTS, "served_model_names": [name], "address": "0.0.0.0", "port": 8001, "url": "http://192.0.2.11:8001",
        "task": "chat", "gpus": [0, 1, 2, 3], "environment": {"HF_HUB_OFFLINE": "1"}, "digest": "d" * 64, "node": None,
        "argv": [f"/opt/inferops/releases/{RELEASE}/bin/vllm", "serve", WEIGHTS, "--host=0.0.0.0", "--port=8001", "--served-model-name", name],
        "memory": {"used": 70 * 2**30, "total": 80 * 2**30}, **changes,
    }


def plan(*services: dict[str, Any]) -> dict[str, Any]:
    """The plan of a host, as far as a report has it."""
    rule = {"port": 8001, "protocol": "tcp", "sources": ["10.0.0.0/8"], "comment": "inferops: api qwen3-235b"}
    return {
        "services": list(services) or [service()],
        "releases": [{"name": RELEASE, "engine": "vllm", "version": "0.32.0", "index": {"index_url": "https://ada:hunter22@pypi.example/simple"}}],
        "weights": [{"name": "Qwen", "repo": "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "revision": REVISION, "path": WEIGHTS}],
        "firewall": {"enabled": True, "rules": [rule]}, "kernel": {"sysctl": {"net.core.somaxconn": "65535"}}, "paths": {"config": "/etc/inferops"},
    }


def deployed(**changes: Any) -> dict[str, Any]:
    """A result of the module deployed_state."""
    return {
        "state": {
            "system": {"OS": "debian 12", "kernel": "6.1.0-40-amd64", "NVIDIA driver": "580.95.05"},
            "gpus": {f"GPU {index}": f"NVIDIA H100 80GB HBM3, GPU-{index}" for index in range(4)},
            "units": {"vllm-qwen3-235b.service": "active, enabled"},
            "unit_files": {"/etc/systemd/system/vllm-qwen3-235b.service": f"sha256 {'a' * 64}, root:root 0644"},
            "environment_files": {}, "firewall": {"UFW": "enabled"}, "firewall_rules": {"allow tcp 8001 from 10.0.0.0/8": "inferops: api qwen3-235b"},
            "sysctl": {"net.core.somaxconn": "65535"}, "kernel": {"modules": "nf_conntrack"}, "kernel_files": {}, "releases": {}, "weights": {},
            "programs": {}, "ports": {"tcp 0.0.0.0:8001": "vllm-qwen3-235b.service"},
        },
        "releases": {RELEASE: {"engine": "vllm", "version": "0.32.0", "torch": "2.13.0", "cuda": "13.0", "python": "3.11.2", "lock": "b" * 64, "built": 1}},
        "weights": {WEIGHTS: {"digest": "c" * 64, "unchanged": True}},
        "listeners": [
            {"protocol": "tcp", "port": 22, "address": "0.0.0.0", "owner": "ssh.service", "random": False},
            {"protocol": "tcp", "port": 8001, "address": "0.0.0.0", "owner": "vllm-qwen3-235b.service", "random": False},
            {"protocol": "tcp", "port": 9100, "address": "0.0.0.0", "owner": "prometheus-node-exporter.service", "random": False},
            {"protocol": "tcp", "port": 41000, "address": "127.0.0.1", "owner": "vllm-qwen3-235b.service", "random": True},
        ],
        "firewall": [
            {"family": 4, "action": "allow", "port": "22", "protocol": "tcp", "source": "0.0.0.0/0", "comment": "inferops: ssh", "elsewhere": ""},
            {"family": 4, "action": "allow", "port": "8001", "protocol": "tcp", "source": "10.0.0.0/8", "comment": "inferops: api", "elsewhere": ""},
        ],
        "unread": {}, **changes,
    }


def host(name: str = "gpu1", **changes: Any) -> contents.HostRun:
    """A host whose service has started and answered."""
    given: dict[str, Any] = {
        "name": name, "address": "192.0.2.11", "failed": False, "plan": plan(), "outcomes": {"qwen3-235b": {"action": "start", "seconds": 96.4}},
        "verified": {"answers": {"qwen3-235b": {"task": "chat", "tokens": 16, "seconds": 0.4, "content": "a word"}}, "errors": {}}, "deployed": deployed(),
    }
    return contents.HostRun(**{**given, **changes})


def result(name: str = "gpu1", **changes: Any) -> dict[str, Any]:
    """An item of the filter run_result."""
    return {
        "service": "qwen3-235b", "host": name, "state": "serving", "endpoint": "http://192.0.2.11:8001/v1", "model": "qwen3-235b",
        "catalogue": "qwen3-235b-a22b-instruct-2507-fp8", "repo": "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "revision": REVISION, "release": RELEASE,
        "action": "start", "changed": True, "seconds_to_ready": 96.4, "tokens_per_second": 41.3, **changes,
    }


def record(*names: str) -> Record:
    """What the callback has recorded of a first deployment."""
    found = Record(active=True, began=NOW - 262.5, playbook="/srv/gpu/site.yml", role_seconds={"plan": 2.2, "vllm": 41.0})
    for name in names or ("gpu1",):
        found.add("changed", name, {"task": "configure | Write unit files", "role": "model_service", "items": ["vllm-qwen3-235b.service"]})
        found.add("changed", name, {"task": "service | Start, restart or stop services", "role": "model_service", "items": []})
    return found


def report(*hosts: contents.HostRun, findings: contents.PlanFindings = NOTHING, recorded: Record | None = None, **run: Any) -> dict[str, Any]:
    """A report of these hosts, by default of one that serves."""
    chosen = hosts or (host(),)
    names = [one.name for one in chosen]
    return contents.build({**RUN, **run}, chosen, findings, [result(name) for name in names], recorded or record(*names), NOW)


def of_many(number: int) -> dict[str, Any]:
    """A report of many hosts, with a failed one, a warning and an accepted finding."""
    hosts = [host(f"gpu{index}", address=f"192.0.2.{index}") for index in range(1, number)]
    failed = host(f"gpu{number}", failed=True, address=f"192.0.2.{number}", outcomes={}, verified={}, deployed={})
    found = record(*(one.name for one in hosts))
    said = "Build failed.\nCause: no space left on device"
    found.add("failed", failed.name, {"task": "build | Follow the build", "role": "vllm", "items": [], "message": said})
    accepted = [
        {"host": one.name, "service": "qwen3-235b", "check": "memory", "reason": "measured in the staging cluster", "finding": "gpu_memory_utilization 0.97"}
        for one in hosts
    ]
    findings = contents.PlanFindings(warnings=["gpu1 / qwen3-235b: 4 of its 8 GPUs stay idle"], accepted=accepted)
    unknown = result(failed.name, state="unverified", action="none", seconds_to_ready=None, tokens_per_second=None)
    return contents.build({**RUN, "limit": ""}, [*hosts, failed], findings, [*(result(one.name) for one in hosts), unknown], found, NOW)
