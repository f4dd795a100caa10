# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's report: a verdict for each host and service, from everything that is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import ERROR, WARNING, Finding, error

from ..plan.vllm.advisories import Advisories
from . import clock, disk, firewall, fleet, gpus, kernel, ports, reach, updates, versions
from .host import Findings, Host

WELL = "well"
# Of a service whose host could not be read.
UNKNOWN = "unknown"
_UNPLANNED = "without a valid plan kernel parameters, names in certificates, nodes and servers of downloads are not compared"
CHECKS: tuple[Callable[[Host], Findings], ...] = (ports.check, disk.check, gpus.check, firewall.check, kernel.check, clock.check, updates.check)


def report(
    hosts: Sequence[Host], plan_errors: Sequence[Mapping[str, Any]], plan_message: str, advisories: Advisories,
    connected: Callable[[tuple[str, int]], str] = reach.connect,
) -> dict[str, Any]:
    """The report as JSON types, by host.

    :param plan_errors: the errors of the plan, by which its part for a host may be missing
    :param plan_message: why there is no plan at all; empty otherwise
    """
    found: dict[str, list[dict[str, Any]]] = {host.name: list(host.found.get("findings", ())) for host in hosts}
    reached = [host for host in hosts if not host.unreachable]
    for host in hosts:
        if host.unreachable:
            found[host.name].append(error("unreachable", f"the host cannot be reached: {host.unreachable}", f"ssh -v {host.name}").to_dict())
        for subject, reason in host.failed.items():
            found[host.name].append(error("doctor", f"the doctor's task {subject} failed: {reason}", "ansible-playbook playbooks/doctor.yml -vv").to_dict())
    for host in reached:
        one = [finding for judge in CHECKS for finding in judge(host)] + list(versions.check(host, advisories))
        found[host.name] += [finding.to_dict() for finding in one]
    for name, finding in (*fleet.check(reached), *reach.check(reached, connected)):
        found[name].append(finding.to_dict())
    for name, finding in _plan(hosts, plan_errors, plan_message):
        found[name].append(finding.to_dict())
    return {host.name: _host(host, found[host.name]) for host in hosts}


def _plan(hosts: Sequence[Host], errors: Sequence[Mapping[str, Any]], message: str) -> list[tuple[str, Finding]]:
    """A finding for each service with errors in the plan, on its host."""
    command = "ansible-playbook playbooks/plan.yml"
    grouped: dict[tuple[str, str], list[str]] = {}
    for item in errors:
        key = " = ".join(part for part in (item.get("key", ""), item.get("value", "")) if part)
        grouped.setdefault((item["host"], item.get("service", "")), []).append(f"{key}: {item['why']}" if key else item["why"])
    names = {host.name for host in hosts}
    found = []
    for (name, service), reasons in grouped.items():
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        finding = error("plan", f"the plan has an error, so the next run stops: {reasons[0]}{more}", command, service, detail="; ".join(reasons))
        found += [(name, finding)] if name in names else []
    if message and not errors:
        found += [(host.name, error("plan", f"there is no plan: {message}", command)) for host in hosts]
    return found


def _host(host: Host, findings: list[dict[str, Any]]) -> dict[str, Any]:
    order = {ERROR: 0, WARNING: 1}
    unplanned = {} if host.plan or host.unreachable else {"what only the plan knows": _UNPLANNED}
    unique = {(item["check"], item["service"], item["cause"]): item for item in findings}
    ordered = sorted(unique.values(), key=lambda item: (order.get(item["level"], 2), item["service"] or "", item["check"]))
    unknown = {**unplanned, **{f"the fact {name}": reason for name, reason in host.facts.get("unanswered", {}).items()}, **host.found.get("unknown", {})}
    named = {item["service"] for item in ordered if item["service"]}
    blind = bool(host.unreachable or host.failed)
    services = {
        service: {"verdict": verdict([item for item in ordered if item["service"] == service], blind), "status": _status(host, service)}
        for service in sorted({*host.names(), *named})
    }
    return {"verdict": verdict(ordered), "services": services, "findings": ordered, "unknown": unknown}


def verdict(findings: Sequence[Mapping[str, Any]], blind: bool = False) -> str:
    """The worst level of findings, else C(WELL), or C(UNKNOWN) if not everything could be read (C(blind))."""
    levels = {item["level"] for item in findings}
    return ERROR if ERROR in levels else WARNING if WARNING in levels else UNKNOWN if blind else WELL


def _status(host: Host, service: str) -> str:
    """What systemd shows for the service's units."""
    units = [unit for unit in host.facts.get("services", ()) if unit["service"] == service]
    return "; ".join(str(unit["status"] or unit["active"]) for unit in units if unit["status"] or unit["active"])


def lines(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The report for people: for each host and service a verdict, then each cause with the command to run next."""
    text = []
    for name, host in found.items():
        text.append(f"{name}: {host['verdict']}{_counts(host['findings'])}")
        of_host = [item for item in host["findings"] if not item["service"]]
        for service, known in host["services"].items():
            status = f" ({known['status']})" if known["status"] else ""
            text.append(f"  {service}: {known['verdict']}{status}")
            text += [line for item in host["findings"] if item["service"] == service for line in _lines(item)]
        if of_host:
            text.append("  host:")
            text += [line for item in of_host for line in _lines(item)]
        text += [f"  not read: {subject}: {reason}" for subject, reason in host["unknown"].items()]
    return text


def _lines(item: Mapping[str, Any]) -> list[str]:
    return [f"    {item['level']}: {item['cause']} [{item['check']}]", f"      run: {item['command']}"]


def _counts(findings: Sequence[Mapping[str, Any]]) -> str:
    counts = [(sum(item["level"] == level for item in findings), level) for level in (ERROR, WARNING)]
    words = [f"{count} {level}{'s' if count > 1 else ''}" for count, level in counts if count]
    return f" ({', '.join(words)})" if words else ""
