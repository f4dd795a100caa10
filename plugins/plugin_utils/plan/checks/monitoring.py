# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitoring: its host exists, its address is known to the firewall, its ports are free, and it reaches the services."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, PlanWarning, shown
from ..host.firewall import is_loopback, monitoring_source
from ..host.monitoring import is_monitor, is_monitored
from ..placement.draft import HostDraft
from .base import check
from .ports import ports_of


@check(every_engine=True)
def monitoring_host_exists(host: HostDraft) -> Iterator[PlanError]:
    """The host that runs Prometheus is a host of the inventory."""
    settings = host.settings
    if settings.monitoring_host and not settings.monitoring_address:
        why = "the inventory has no host of this name"
        fix = "name a host of the inventory; for a Prometheus outside of it leave monitoring_host empty and set monitoring_address to its address"
        yield PlanError(host.name, "", "monitoring_host", shown(settings.monitoring_host), why, fix)


@check(every_engine=True)
def monitoring_address_is_known(host: HostDraft) -> Iterator[PlanError]:
    """The firewall needs the IP address from which Prometheus scrapes."""
    settings = host.settings
    if settings.monitoring_address and settings.firewall_enabled and not is_monitor(host) and not monitoring_source(host):
        why = "this is not an IP address, and the firewall has to admit the host that scrapes"
        yield PlanError(
            host.name, "", "monitoring_address", shown(settings.monitoring_address), why,
            "set monitoring_address to the IP address from which Prometheus scrapes",
        )


@check(every_engine=True)
def monitoring_ports_are_free(host: HostDraft) -> Iterator[PlanError]:
    """No service uses a port of an exporter, of Prometheus or of Alertmanager on its host, and no two of these have the same port."""
    if not is_monitored(host):
        return
    settings = host.settings
    names = ["monitoring_node_exporter_port", "monitoring_dcgm_exporter_port"]
    if is_monitor(host) and not settings.monitoring_files_dir:
        names += ["monitoring_prometheus_port", "monitoring_alertmanager_port", "monitoring_blackbox_port"]
    used: dict[int, str] = {}
    for name in names:
        port = getattr(settings, name)
        if port and port in used:
            yield PlanError(host.name, "", name, str(port), f"{used[port]} has the same port", f"set {name} to another port")
        elif port:
            used[port] = name
    for one in ports_of(host):
        if one.number in used:
            why = f"{used[one.number]} of this host is the same port"
            yield PlanError(host.name, one.draft.label, one.key, str(one.number), why, f"choose another port, or set {used[one.number]} to another one")


@check(every_engine=True)
def monitoring_has_a_port_of_its_own(host: HostDraft) -> Iterator[PlanError]:
    """No other program listens on the ports of node exporter, Prometheus, Alertmanager and blackbox exporter: it would be taken for them."""
    if not is_monitored(host) or host.facts is None:
        return
    taken = {one.number for one in ports_of(host)}
    for name, unit in _programs(host).items():
        port = getattr(host.settings, name)
        others = [one for one in host.facts.listeners if one.port == port and one.protocol == "tcp" and one.unit != unit]
        if port in taken or not others:
            continue
        who = others[0].unit or others[0].program or (f"process {others[0].pid}" if others[0].pid else "another program")
        fix = f"set {name} to a free port"
        if name == "monitoring_node_exporter_port":
            fix += "; or, if it is a node exporter of your own, set monitoring_node_exporter to false and monitoring_textfile_dir to its directory"
        yield PlanError(host.name, "", name, str(port), f"{who} listens on this port", fix)


def _programs(host: HostDraft) -> dict[str, str]:
    """The units that the role runs on a host, by the settings of their ports."""
    settings = host.settings
    found = {"monitoring_node_exporter_port": "prometheus-node-exporter.service"} if settings.monitoring_node_exporter else {}
    if is_monitor(host) and not settings.monitoring_files_dir:
        found |= {"monitoring_prometheus_port": "prometheus.service", "monitoring_alertmanager_port": "prometheus-alertmanager.service"}
        if settings.monitoring_probe:
            found["monitoring_blackbox_port"] = "prometheus-blackbox-exporter.service"
    return found


@check(accept="unreachable-metrics", every_engine=True)
def monitoring_reaches_the_services(host: HostDraft) -> Iterator[PlanWarning]:
    """Prometheus reaches each service: one that listens on its host's loopback address alone is only scraped where Prometheus runs on that host."""
    if not is_monitored(host) or is_monitor(host):
        return
    for draft in host.services:
        if draft.answers and draft.service.port is not None and is_loopback(draft.service.host):
            where = host.settings.monitoring_host or host.settings.monitoring_address
            yield PlanWarning(
                host.name, draft.label, f"it listens on {draft.service.host}, so Prometheus on {where} cannot scrape or probe it; "
                "let it listen on an address of the host, or accept that its metrics are missing",
            )
