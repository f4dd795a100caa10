# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets for Prometheus' file_sd, from the plan of all hosts.

Prometheus reads these files again when they change, so a deployment updates them without a reload (file_sd_config in its documentation). A label
C(__scheme__) of a target overrides the scheme of the scrape configuration, and a label C(job) its name (prometheus/prometheus, C(scrape/target.go)).
"""

from __future__ import annotations

import hashlib
import json
import re

from typing import Any, Iterable, Mapping

Plan = Mapping[str, Any]
Target = Mapping[str, Any]

VLLM, NODE, PROBE, DCGM = "vllm", "inferops-node", "inferops-probe", "dcgm"
JOBS = (VLLM, NODE, PROBE, DCGM)
# The module of the blackbox exporter for services whose certificate has the name of their address, or that have none.
OPEN = "open"
# vLLM wants no key for it: AuthenticationMiddleware guards only paths of the API (vllm, entrypoints/serve/middleware/authenticate.py). Any account of the
# monitoring host can have the blackbox exporter request any address with any of its modules, so these must not have keys.
_PROBED = "/health"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def monitored(plans: Mapping[str, Plan], monitor: str) -> list[Plan]:
    """The monitoring of the hosts that Prometheus on a host scrapes, in the order of the inventory.

    :param plans: hosts of the plan by name
    """
    parts = [plan.get("monitoring") for plan in plans.values()]
    return [part for part in parts if part is not None and part["host"] == monitor]


def all_targets(parts: Iterable[Plan]) -> list[Target]:
    """All targets of hosts."""
    return [target for part in parts for target in part["targets"]]


def services(parts: Iterable[Plan]) -> list[dict[str, Any]]:
    """Labels and objectives of all services, and whether they are C(scraped), for rules."""
    found = []
    for part in parts:
        scraped = {target["labels"].get("service") for target in part["targets"] if target["job"] == VLLM}
        found += [{**service, "scraped": service["service"] in scraped} for service in part["services"]]
    return found


def server_names(parts: Iterable[Plan]) -> list[str]:
    """Names in certificates that differ from the address of their targets. Each needs a scrape configuration of its own: targets have no such label."""
    return sorted({target["server_name"] for target in all_targets(parts) if target["server_name"]})


def module_of(target: Target) -> str:
    """The module of the blackbox exporter for a service: one for each name in certificates that differs from the address."""
    return f"{OPEN}-{_file_name(target['server_name'])}" if target["server_name"] else OPEN


def file_of(job: str, server_name: str = "") -> str:
    """The name of the file with a job's targets."""
    return f"{job}.json" if not server_name else f"{job}-{_file_name(server_name)}.json"


def _file_name(name: str) -> str:
    """A name as part of a file's: two names never give the same one."""
    safe = _UNSAFE.sub("_", name)
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def files(parts: list[Plan], probe: bool = True) -> dict[str, str]:
    """The files by their names. A job without targets has an empty list, since Prometheus warns of a missing file.

    :param probe: whether services are probed
    """
    found: dict[str, list[dict[str, Any]]] = {file_of(job): [] for job in JOBS}
    for target in all_targets(parts):
        name = file_of(target["job"], target["server_name"])
        found.setdefault(name, []).append(_entry(target))
        if probe and target["job"] == VLLM:
            found[file_of(PROBE)].append(_probe(target))
    return {name: json.dumps(entries, indent=1) + "\n" for name, entries in found.items()}


def _entry(target: Target) -> dict[str, Any]:
    labels = dict(target["labels"])
    if target["scheme"] != "http":
        labels["__scheme__"] = target["scheme"]
    if target["server_name"]:
        labels["job"] = target["job"]
    return {"targets": [target["address"]], "labels": labels}


def _probe(target: Target) -> dict[str, Any]:
    url = f"{target['scheme']}://{target['address']}{_PROBED}"
    return {"targets": [url], "labels": {**target["labels"], "__param_module": module_of(target)}}
