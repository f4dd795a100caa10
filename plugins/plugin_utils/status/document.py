# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole state as data: C(-e status_output=FILE). docs/status.md describes its shape."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.inferops.gpu.plugins.module_utils._status.texts import one_line

from . import drift
from .hosts import Host, Item
from .services import services_of

# Raised when a key changes its meaning or goes.
FORMAT = 1


def build(hosts: Sequence[Host], plan: Item, service: str = "") -> dict[str, Any]:
    """The state of the services of the hosts.

    :param plan: result of M(inferops.gpu.plan)
    :param service: name of the only service to return, with its hosts; empty for all
    """
    services = services_of(hosts)
    if service:
        services = [item for item in services if item["service"] == service]
        chosen = {host for item in services for host in item["hosts"]}
        hosts = [host for host in hosts if host.name in chosen]
    found = {
        "format": FORMAT,
        "plan": _plan(plan),
        "services": services,
        "hosts": [_host(host, services, service) for host in hosts],
    }
    clean: dict[str, Any] = cleaned(found)
    return clean


def _plan(plan: Item) -> dict[str, Any]:
    """Whether the plan is valid; without a valid one nothing is compared with it."""
    errors = plan.get("errors") or []
    message = ""
    if errors:
        message = f"plan not valid: {len(errors)} error{'s' if len(errors) > 1 else ''}, see playbooks/plan.yml"
    elif "hosts" not in plan:
        message = f"the plan was not resolved: {one_line(plan.get('msg')) or 'no result'}"
    return {"valid": not message, "errors": len(errors), "message": message}


def _host(host: Host, services: Sequence[Item], service: str) -> dict[str, Any]:
    status, facts = host.status, host.facts
    orphaned = [unit for unit in host.units if host.defined is not None and unit["service"] not in host.defined]
    return {
        "host": host.name,
        "address": host.address,
        "state": "read" if host.was_read else "failed" if host.reachable else "unreachable",
        "error": host.error,
        "read_at": status.get("read_at", ""),
        "gpus": [_gpu(gpu, host, services) for gpu in status.get("gpus", [])],
        "gpu_health": [*facts.get("gpu_health", []), *_gpu_errors(facts)],
        "disks": status.get("disks", []),
        "downloads": status.get("downloads", []),
        "builds": status.get("builds", []),
        "connections": status.get("connections", {}),
        "orphaned": [_orphaned(unit, host) for unit in orphaned if service in ("", unit["service"])],
        "unmanaged": [{**item, "ports": _ports(item, facts)} for item in status.get("unmanaged", [])],
        "differs": drift.differences(host),
        "unread": {**status.get("unread", {}), **facts.get("unanswered", {})},
    }


def _gpu(gpu: Item, host: Host, services: Sequence[Item]) -> dict[str, Any]:
    """A GPU with the services that use it: those of the inventory, and others that run."""
    users = {
        item["service"] for item in services for unit in item["units"]
        if unit["host"] == host.name and gpu["index"] in (unit["gpus"] or ()) and (item["inventory"] != "none" or unit["active"] not in ("inactive", "failed"))
    }
    # Ray's units do not name their GPUs, but the plan does.
    unnamed = {unit["service"] for unit in host.units if unit["gpus"] is None} & {item["service"] for item in services}
    users |= {service["name"] for service in host.plan.get("services", []) if service["name"] in unnamed and gpu["index"] in service.get("gpus", ())}
    return {**gpu, "services": sorted(users)}


def _gpu_errors(facts: Item) -> list[dict[str, Any]]:
    """Errors of GPUs that nvidia-smi itself reports, in the form of C(gpu_health), unless that has them already."""
    known = {item.get("gpu") for item in facts.get("gpu_health", [])}
    found = [
        {"name": "gpu_error", "gpu": gpu["index"], "level": "error", "cause": gpu["error"], "action": "", "fix": ""}
        for gpu in facts.get("gpus", []) if gpu.get("error") and gpu["index"] not in known
    ]
    if facts.get("gpu_error") and None not in known:
        found.append({"name": "nvidia_smi", "gpu": None, "level": "error", "cause": facts["gpu_error"], "action": "", "fix": ""})
    return found


def _orphaned(unit: Item, host: Host) -> dict[str, Any]:
    keys = ("unit", "service", "active", "enabled", "port", "gpus")
    return {**{key: unit[key] for key in keys}, "fix": f"ansible-playbook playbooks/remove.yml -l {host.name} -e remove_service={unit['service']}"}


def _ports(item: Item, facts: Item) -> list[int]:
    """The ports that an unmanaged process listens on."""
    return sorted({row["port"] for row in facts.get("listeners", []) if row.get("pid") == item["pid"]})


def cleaned(value: Any) -> Any:
    """A value whose texts have neither control characters nor secrets of a known form, whatever a host has sent."""
    if isinstance(value, str):
        return one_line(value, 1000)
    if isinstance(value, Mapping):
        return {cleaned(str(key)): cleaned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [cleaned(item) for item in value]
    return value
