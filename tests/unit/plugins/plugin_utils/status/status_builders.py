# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts as a run of playbooks/status.yml has read them."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils._status.units import digest
from ansible_collections.inferops.gpu.plugins.plugin_utils.status.hosts import Host

READ_AT = "2026-11-26T14:00:00+00:00"
COMMAND = ["supervisor", "single", "--", "vllm", "serve", "/m"]
ENGINE = {
    "requests_running": 3, "requests_waiting": 0, "kv_cache_used": 0.125, "prompt_tokens_per_second": 40.0, "generation_tokens_per_second": 812.5, "error": "",
}


def unit(service: str = "qwen3", kind: str = "vllm", **keys: Any) -> dict[str, Any]:
    """An active unit of a service on one host."""
    return {
        "unit": f"{kind}-{service}.service", "service": service, "role": "single", "node": "gpu1", "leader": "", "workers": [], "active": "active",
        "sub": "running", "result": "success", "enabled": "enabled", "since": "2026-11-26T11:00:00+00:00", "status": "serving, 3 running, 0 waiting",
        "main_pid": 7, "restarts": 0, "failed_starts": 0, "missing_nodes": [], "memory_bytes": 2**30, "last_failure": None, "last_failure_error": "",
        "listens": "0.0.0.0", "port": 8001, "scheme": "http", "model": service, "adapters": [], "adapters_not_loaded": [],
        "command_digest": digest(COMMAND), "task": "chat", "release": "vllm-0.32.0-170296bd",
        "weights": "/models/Qwen--Qwen3/0123456789abcdef", "revision": "0123456789abcdef", "gpus": [0], "engine": ENGINE, "certificate": None, "changed": [],
        **keys,
    }


def status(*units: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """What the module service_status has returned."""
    return {
        "read_at": READ_AT, "units": list(units), "gpus": [], "disks": [], "downloads": [], "builds": [], "connections": {}, "unmanaged": [], "unread": {}, **keys,
    }


def planned(name: str = "qwen3", nodes: tuple[str, ...] = (), **keys: Any) -> dict[str, Any]:
    """A present service of the plan."""
    return {
        "name": name, "state": "present", "url": "http://10.0.0.1:8001", "port": 8001, "digest": "d1", "served_model_name": name, "task": "chat",
        "release": "vllm-0.33.0-ffffffff", "weights_path": "/models/new", "revision": "main",
        "units": [{"unit": f"vllm-{name}.service", "supervisor": COMMAND[:2], "command": COMMAND[3:]}],
        "node": {"nodes": [{"host": node} for node in nodes]} if nodes else None, **keys,
    }


def plan_of(*services: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """A host's part of the plan, with nothing for kernel and firewall to do."""
    return {"services": list(services), "kernel": {"enabled": False, "files": [], "obsolete": [], "sysctl": {}}, "firewall": {"needed": False}, **keys}


def host(name: str = "gpu1", *units: dict[str, Any], **keys: Any) -> Host:
    """A host that was read, with its services in the inventory."""
    given = {"address": "10.0.0.1", "status": status(*units), "defined": {one["service"]: "present" for one in units}, **keys}
    return Host(name, **given)


def unreachable(name: str = "gpu2", **keys: Any) -> Host:
    return Host(name, error="Connection timed out", reachable=False, **keys)


def pair(**keys: Any) -> list[Host]:
    """A multi-node service with Ray on gpu1 and gpu2. C(keys) are of the unit on gpu2."""
    common = {"leader": "gpu1", "status": "serving on gpu1, gpu2"}
    quiet = {"scheme": "", "port": 0, "engine": None, "weights": "", "revision": "", "task": "", "model": ""}
    engine = unit("pair", role="worker", node="engine", **common)
    head = unit("pair", "ray-head", role="leader", workers=["gpu2", "engine"], **{**quiet, **common})
    worker = unit("pair", "ray-worker", role="worker", node="gpu2", **{**quiet, **common, **keys})
    return [host("gpu1", engine, head), host("gpu2", worker, address="10.0.0.2")]
