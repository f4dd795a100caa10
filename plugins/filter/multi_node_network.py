# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the connectivity between the nodes of a service. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

Service = t.Mapping[str, t.Any]


def unchecked_networks(services: t.Sequence[Service], facts: t.Mapping[str, t.Any]) -> list[Service]:
    """Return the services for which some node has no record of a passed connectivity check. `facts` are the facts of the hosts, by name."""
    found = []
    for service in services:
        stamps = [(facts.get(node["host"]) or {}).get("checked", {}).get(f"network-{service['name']}") for node in service["node"]["nodes"]]
        if any(stamp != service["node"]["network"] for stamp in stamps):
            found.append(service)
    return found


def multi_node_network_errors(services: t.Sequence[Service], found: t.Mapping[str, t.Any], skew: float) -> list[str]:
    """Return the connectivity errors of a host's multi-node services. `found` are the results of the module `multi_node_network`, by host."""
    return [error for service in services for error in _errors(service, found, skew)]


def _errors(service: Service, found: t.Mapping[str, t.Any], skew: float) -> t.Iterator[str]:
    node = service["node"]
    here = node["nodes"][node["rank"]]["host"]
    own = found.get(here) or {}
    name = service["name"]
    for other in node["nodes"]:
        seen = (own.get("peers") or {}).get(other["host"])
        if other["host"] == here or seen is None:
            continue
        way = f"{name}: {here} to {other['host']} ({other['address']})"
        if not seen["interface"]:
            yield f"{way}: there is no route. Fix: connect both hosts to one network, or name its interface in distributed.interface."
            continue
        if node["interface"] and seen["interface"] != node["interface"]:
            yield (f"{way}: the route uses the interface {seen['interface']}, and the plan uses {node['interface']}. "
                   f"Fix: name the interface in distributed.interface, or correct the route (ip route get {other['address']}).")
        if seen["closed"]:
            ports = ", ".join(f"{port} ({why})" for port, why in list(seen["closed"].items())[:4])
            more = len(seen["closed"]) - 4
            yield (f"{way}: these ports do not answer: {ports}{f' and {more} more' if more > 0 else ''}. "
                   "Fix: check the firewalls between the hosts (with firewall_enabled the hosts themselves allow all traffic between the nodes).")
        if seen["skew"] is not None and abs(seen["skew"]) > skew:
            yield (f"{way}: its clock is {seen['skew']:+.1f} s off, and {skew:g} s are allowed (multi_node_clock_skew). "
                   "Fix: synchronise the clocks of both hosts with chrony or systemd-timesyncd.")
        back = ((found.get(other["host"]) or {}).get("peers") or {}).get(here)
        if back and back["mtu"] != seen["mtu"] and node["rank"] == 0:
            yield (f"{way}: {here} has an MTU of {seen['mtu']} ({seen['interface']}) and {other['host']} one of {back['mtu']} ({back['interface']}). "
                   "Large messages would hang. Fix: set the same MTU on both.")
    yield from _rdma_errors(node, here, name, own.get("rdma") or [])


def _rdma_errors(node: t.Mapping[str, t.Any], here: str, name: str, devices: t.Sequence[t.Mapping[str, str]]) -> t.Iterator[str]:
    transport = node.get("transport")
    if not transport or not transport["devices"] or any(device["state"] == "ACTIVE" for device in devices):
        return
    there = ", ".join(f"{device['name']} ({device['state'] or 'no state'})" for device in devices) or "none"
    yield (f"{name}: distributed.transport {transport['name']} needs an RDMA device that is active, and {here} has {there}. "
           "Fix: check that its driver is loaded and its link is up, or set transport: tcp.")


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"unchecked_networks": unchecked_networks, "multi_node_network_errors": multi_node_network_errors}
