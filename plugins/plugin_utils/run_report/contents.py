# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contents of a report: plain data from what a run has registered. Secrets and control characters are masked in every text."""

from __future__ import annotations

import datetime
import math

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils._masking import masked

from ..plan.errors import HIDDEN, is_secret_name
from . import ports
from .recorder import Record

# Raised when a key changes its meaning. Readers refuse other numbers.
FORMAT = 1
SUCCEEDED, FAILED, UNREACHABLE = "succeeded", "failed", "unreachable"

# Keys of the plan's services, releases and weights. The others are paths and options of tasks. Package indexes may have credentials.
_SERVICE = (
    "name", "state", "unit", "engine", "model", "repo", "revision", "release", "weights", "weights_path", "served_model_names", "address", "port", "url",
    "task", "gpus", "argv", "environment", "digest", "memory",
)
_RELEASE = ("name", "path", "engine", "package", "version", "requirements", "overrides", "python", "torch_backend", "cuda")
_WEIGHTS = ("name", "repo", "revision", "path", "bytes", "local", "verified")
# Texts are cut here: a server or a file name may be endless.
_LONGEST = 4000


@dataclass(frozen=True)
class HostRun:
    """A host of a run: what the roles have registered for it, as far as the run came."""

    name: str
    address: str
    failed: bool
    plan: Mapping[str, Any] = field(default_factory=dict)
    outcomes: Mapping[str, Any] = field(default_factory=dict)
    verified: Mapping[str, Any] = field(default_factory=dict)
    deployed: Mapping[str, Any] = field(default_factory=dict)
    gate_errors: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PlanFindings:
    """What the plan found in the inventory, as the module C(plan) returns it."""

    errors: list[Any] = field(default_factory=list)
    warnings: list[Any] = field(default_factory=list)
    accepted: list[Any] = field(default_factory=list)


def build(
    run: Mapping[str, Any], hosts: Iterable[HostRun], findings: PlanFindings, results: list[dict[str, Any]], record: Record, now: float
) -> dict[str, Any]:
    """The report of a run.

    :param run: where and how it ran; this adds times and the result
    :param results: an item for each service, see the filter C(run_result)
    :param now: seconds since 1970
    """
    items = {host.name: _host(host, [row for row in results if row["host"] == host.name], record) for host in hosts}
    bad = [name for name, item in items.items() if item["result"] != SUCCEEDED]
    about = {
        **run,
        "result": FAILED if bad or findings.errors else SUCCEEDED,
        "started": stamp(record.began) if record.active else None,
        "ended": stamp(now),
        "seconds": round(now - record.began, 1) if record.active else None,
        "failed_hosts": bad,
        "tasks_recorded": record.active,
        "role_seconds": {role: round(seconds, 1) for role, seconds in record.role_seconds.items()},
    }
    report = {
        "format": FORMAT, "run": about, "errors": findings.errors, "warnings": _shown_once(findings), "accepted": findings.accepted, "hosts": items,
    }
    cleaned: dict[str, Any] = clean(report)
    return cleaned


def stamp(seconds: float) -> str:
    """A time in UTC: 2026-11-26T14:03:11Z."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown_once(findings: PlanFindings) -> list[Any]:
    """The warnings without those that quote an accepted error, which C(accepted) has."""
    texts = [f"accepted as {one['check']} ({one['reason']}): {one['finding']}" for one in findings.accepted]
    return [warning for warning in findings.warnings if not any(text in warning for text in texts)]


def _host(host: HostRun, results: list[dict[str, Any]], record: Record) -> dict[str, Any]:
    deployed = host.deployed
    unread = dict(deployed.get("unread") or {})
    if not deployed:
        unread["state"] = "the host could not be read at the end of the run"
    errors = {**host.gate_errors, **(host.verified.get("errors") or {})}
    # The item says that the service was not verified, since the run ended before.
    services = [{**row, "state": FAILED} if row["service"] in errors else row for row in results]
    failures = [{key: task[key] for key in ("task", "role", "message", "items")} for task in record.failed.get(host.name, [])]
    return {
        "address": host.address,
        "result": UNREACHABLE if host.name in record.unreachable else FAILED if host.failed else SUCCEEDED,
        "services": services,
        "plan": _plan(host.plan),
        # Without the callback the actions on the services' units are known all the same.
        "changes": record.changed.get(host.name, []),
        "omitted_tasks": record.omitted.get(host.name, 0),
        "failures": failures,
        "service_errors": errors,
        "verifications": list(_verifications(host)),
        "releases": deployed.get("releases") or {},
        "weights": deployed.get("weights") or {},
        "ports": ports.scan(deployed.get("listeners") or [], deployed.get("firewall"), unread),
        "state": deployed.get("state") or {},
        "unread": unread,
    }


def _plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a host's plan that say what runs there; empty if the plan has errors."""
    if not plan:
        return {}
    return {
        "services": [_service(service) for service in plan["services"]],
        "releases": [{key: release.get(key) for key in _RELEASE} for release in plan["releases"]],
        "weights": [{key: weights.get(key) for key in _WEIGHTS} for weights in plan["weights"]],
        "firewall": {"enabled": plan["firewall"]["enabled"], "rules": plan["firewall"]["rules"]},
        "sysctl": plan["kernel"].get("sysctl", {}),
        "paths": plan["paths"],
    }


def _service(service: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: service.get(key) for key in _SERVICE}
    found["environment"] = {name: HIDDEN if is_secret_name(name) else value for name, value in (service.get("environment") or {}).items()}
    found["units"] = [unit["unit"] for unit in service.get("units") or []]
    node = service.get("node")
    found["node"] = None if not node else {"rank": node["rank"], "backend": node["backend"], "hosts": [one["host"] for one in node["nodes"]]}
    return found


def _verifications(host: HostRun) -> Iterable[dict[str, Any]]:
    """The health gate on the host, and the request from the controller, each with its seconds."""
    for name, outcome in host.outcomes.items():
        if outcome.get("seconds") is not None:
            yield {
                "service": name, "what": "health gate on the host", "passed": True, "seconds": outcome["seconds"], "tokens": None, "detail": outcome["action"],
            }
    for name, error in host.gate_errors.items():
        yield {"service": name, "what": "health gate on the host", "passed": False, "seconds": None, "tokens": None, "detail": error}
    for name, answer in (host.verified.get("answers") or {}).items():
        yield {
            "service": name, "what": "request from the controller", "passed": True, "seconds": answer.get("seconds"), "tokens": answer.get("tokens"),
            "detail": answer.get("task"),
        }
    for name, error in (host.verified.get("errors") or {}).items():
        yield {"service": name, "what": "request from the controller", "passed": False, "seconds": None, "tokens": None, "detail": error}


def clean(value: Any) -> Any:
    """The value in JSON's types: texts are cut, and secrets and control characters in them are replaced. Line breaks stay."""
    if isinstance(value, str):
        return masked(plain(value[:_LONGEST]))
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        # JSON has no infinity.
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [clean(item) for item in value]
    return masked(plain(str(value)[:_LONGEST]))


def plain(text: str) -> str:
    """Text whose control characters, except line breaks, are replaced. So are characters that change the direction of text, and lone surrogates."""
    native = str(text)
    if native.isprintable():
        return native
    return "".join(character if character.isprintable() or character in "\n " else "\N{REPLACEMENT CHARACTER}" for character in native)
