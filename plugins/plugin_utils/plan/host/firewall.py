# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall rules of a host: allowed sources by port."""

from __future__ import annotations

import ipaddress

from typing import Any, Iterable, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils._firewall import steps as ufw_steps
from ansible_collections.inferops.gpu.plugins.module_utils import _green
from ansible_collections.inferops.gpu.plugins.module_utils._firewall.rules import Unreadable
from ansible_collections.inferops.gpu.plugins.module_utils._firewall.state import State

from ..inputs.settings.monitoring import PRESENT
from ..placement.draft import HostDraft, ServiceDraft
from ..placement.green import planned

# Prefix of the comments of managed rules, by which the firewall module recognises them.
_OWNER = "inferops:"


def firewall_of(host: HostDraft) -> dict[str, Any]:
    """The firewall for the role: rules for SSH first, then for each service's port, for the other nodes of multi-node services, for hosts that fetch
    weights, and for firewall_open_ports."""
    settings = host.settings
    rules: list[dict[str, Any]] = []
    if settings.firewall_enabled:
        rules += [_rule(port, settings.firewall_ssh_sources, "ssh") for port in ssh_ports(host)]
        rules += [_rule(draft.service.port, settings.firewall_api_sources, "api", draft.service.name) for draft in host.services if is_open(draft)]
        rules += _green_rules(host)
        rules += [_rule(None, [address], "peer", *names) for address, names in peers(host).items()]
        for port in dict.fromkeys(port for port, _source in host.weights_clients):
            rules.append(_rule(port, [source for other, source in host.weights_clients if other == port], "weights"))
        taken = {(rule["port"], rule["protocol"], source) for rule in rules for source in rule["sources"]}
        for opened in settings.firewall_open_ports:
            # A source that is already allowed keeps the comment of its rule.
            wanted = [source for source in opened.sources if (opened.port, opened.protocol, source) not in taken]
            rules += [{**_rule(opened.port, wanted, "other"), "protocol": opened.protocol}] if wanted else []
            taken |= {(opened.port, opened.protocol, source) for source in wanted}
        rules += _monitoring_rules(host, rules)
        rules += _kept(host, rules)
    state = host.facts.firewall.state if host.facts is not None else {}
    return {
        "enabled": settings.firewall_enabled,
        "needed": settings.firewall_enabled and not is_in_force(state, rules, settings.firewall_logging),
        "logging": settings.firewall_logging,
        "rollback_timeout": settings.firewall_rollback_timeout,
        # As the module host_firewall takes them.
        "rules": [{key: rule[key] for key in ("port", "protocol", "sources", "comment")} for rule in rules],
        "service_comments": service_comments(rules),
    }


def _green_rules(host: HostDraft) -> list[dict[str, Any]]:
    """Rules for the temporary units of blue/green updates: UFW sees redirected connections with their new port. They stay between updates, so that no
    update has to change the firewall."""
    greens = [(planned(host, draft), draft.service.name) for draft in host.services if is_open(draft)]
    return [_rule(green.port, host.settings.firewall_api_sources, "green", name) for green, name in greens if green is not None]


def _monitoring_rules(host: HostDraft, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules for the host that scrapes: exporters, and metrics of services. And on that host for users of Prometheus and Alertmanager."""
    settings = host.settings
    found: list[dict[str, Any]] = []
    if settings.monitoring_state != PRESENT:
        return found
    source = monitoring_source(host)
    if source and settings.monitoring_host != host.name:
        ports = [(settings.monitoring_node_exporter_port, ""), (settings.monitoring_dcgm_exporter_port, "")]
        ports += [(draft.service.port or 0, str(draft.service.name)) for draft in host.services if is_open(draft)]
        # As networks.sources writes it.
        found += [_rule(port, [str(ipaddress.ip_network(source))], "metrics", *filter(None, [name])) for port, name in ports if port]
    if settings.monitoring_host == host.name and settings.monitoring_ui_sources and not settings.monitoring_files_dir:
        # Not Alertmanager, whose API shows the URLs of webhooks and silences alerts.
        found.append(_rule(settings.monitoring_prometheus_port, settings.monitoring_ui_sources, "monitoring"))
    # A source that is already allowed keeps the comment of its rule.
    taken = {(rule["port"], rule["protocol"], source) for rule in wanted for source in rule["sources"]}
    left = [{**rule, "sources": [source for source in rule["sources"] if (rule["port"], rule["protocol"], source) not in taken]} for rule in found]
    return [rule for rule in left if rule["sources"]]


def monitoring_source(host: HostDraft) -> str:
    """The IP address from which Prometheus scrapes a host; empty where that is not known, which is an error (checks/monitoring.py)."""
    address = host.settings.monitoring_address.strip("[]")
    return str(ipaddress.ip_address(address)) if is_address(address) else ""


def service_comments(rules: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """By service, the comments of the rules to remove with it; C(all) has those of all services.

    A rule for several services stays as long as one of them exists.
    """
    found: dict[str, set[str]] = {}
    for rule in rules:
        if rule["services"]:
            found.setdefault("all", set()).add(rule["comment"])
        if len(rule["services"]) == 1:
            found.setdefault(rule["services"][0], set()).add(rule["comment"])
    return {name: sorted(comments) for name, comments in found.items()}


def is_in_force(state: Mapping[str, Any], rules: Iterable[Mapping[str, Any]], logging: str) -> bool:
    """Whether the host's firewall has exactly these managed rules, and no unconfirmed change."""
    found = State.of(state)
    try:
        steps = ufw_steps.plan(found, ufw_steps.wanted_rules(rules, found.ipv6), logging)
    except (ufw_steps.Refused, Unreadable):
        # The module host_firewall reports the error.
        return False
    return not steps.steps and not found.pending


def _kept(host: HostDraft, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Managed rules of orphaned units that run, and of the new engines of updates that a run has not finished, to which clients may be redirected: they stay
    as long as the units run."""
    running = {unit.service for unit in host.orphaned_units if unit.runs}
    updating = {_green.service_of(unit) for unit in host.facts.green_units} if host.facts is not None else set()
    there = {(rule["port"], rule["protocol"], source) for rule in wanted for source in rule["sources"]}
    kept = []
    for port, protocol, source, comment in host.facts.firewall.own if host.facts is not None else ():
        kind, _space, names = comment[len(_OWNER):].strip().partition(" ")
        services = [name for name in names.split(", ") if name in running or (kind == "green" and name in updating)]
        if services and (port, protocol, source) not in there:
            kept.append({**_rule(port, [source], kind, *services), "protocol": protocol, "comment": comment})
    return kept


def ssh_ports(host: HostDraft) -> tuple[int, ...]:
    """Ports on which SSH listens; none without facts of the host."""
    return host.facts.firewall.ssh_ports if host.facts is not None else ()


def is_open(draft: ServiceDraft) -> bool:
    """Whether other hosts have to reach a service."""
    return draft.answers and draft.service.port is not None and not is_loopback(draft.service.host)


def is_loopback(address: str) -> bool:
    """Whether only the host itself can reach a listener on this address."""
    return address.startswith(("127.", "::1")) or address == "localhost"


def peers(host: HostDraft) -> dict[str, list[str]]:
    """IP addresses of the other nodes of the host's services, and of the hosts with which they exchange KV caches, each with the names of the services. Host
    names are left out."""
    found: dict[str, list[str]] = {}
    for draft in host.services:
        for node in draft.placement.nodes if draft.placement is not None else ():
            if node.host != host.name and is_address(node.address):
                found.setdefault(str(ipaddress.ip_address(node.address)), []).append(str(draft.service.name))
        for other in draft.counterparts:
            # NIXL transfers KV caches on any free port.
            if other.host != host.name and is_address(other.address):
                names = found.setdefault(str(ipaddress.ip_address(other.address)), [])
                names += [] if draft.service.name in names else [str(draft.service.name)]
    return found


def is_address(text: str) -> bool:
    """Whether this is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _rule(port: int | None, sources: Iterable[str], kind: str, *services: Any) -> dict[str, Any]:
    """One rule with all its sources, which keeps the plan of many hosts small."""
    return {
        "kind": kind,
        "services": list(services),
        "action": "allow",
        "port": port,
        "protocol": None if port is None else "tcp",
        "sources": list(sources),
        "comment": " ".join([_OWNER, kind, ", ".join(services)]).strip(),
    }
