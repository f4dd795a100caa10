# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare what the nodes of a service found of the connectivity between them. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

Service = t.Mapping[str, t.Any]


def unchecked_networks(services: t.Sequence[Service], facts: t.Mapping[str, t.Any]) -> list[Service]:
    """Return those services whose connectivity has no record of a passed check on each of its nodes. `facts` are those of the hosts, by name."""
    found = []
    for service in services:
        stamps = [(facts.get(node["host"]) or {}).get("checked", {}).get(f"network-{service['name']}") for node in service["node"]["nodes"]]
        if any(stamp != service["node"]["network"] for stamp in stamps):
            found.append(service)
    return found


def multi_node_network_errors(services: t.Sequence[Service], found: t.Mapping[str, t.Any], skew: float) -> list[str]:
    """Return what keeps a host's services from running with their other nodes. `found` are the results of the `multi_node_network` module by host."""
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
            yield f"{way}: there is no route. See that both are on one network, or name it with distributed.interface."
            continue
        if node["interface"] and seen["interface"] != node["interface"]:
            yield (f"{way}: the route leaves by {seen['interface']}, and the plan has {node['interface']}. "
                   f"Name the interface with distributed.interface, or put the route right (ip route get {other['address']}).")
        if seen["closed"]:
            ports = ", ".join(f"{port} ({why})" for port, why in list(seen["closed"].items())[:4])
            more = len(seen["closed"]) - 4
            yield (f"{way}: these ports do not answer: {ports}{f' and {more} more' if more > 0 else ''}. "
                   "See which firewall lies between (firewall_enabled opens everything between the nodes of a service on the hosts themselves).")
        if seen["skew"] is not None and abs(seen["skew"]) > skew:
            yield (f"{way}: its clock is {seen['skew']:+.1f} s off, and {skew:g} s are allowed (multi_node_clock_skew). "
                   "Have both keep time, with chrony or systemd-timesyncd.")
        back = ((found.get(other["host"]) or {}).get("peers") or {}).get(here)
        if back and back["mtu"] != seen["mtu"] and node["rank"] == 0:
            yield (f"{way}: {here} has an MTU of {seen['mtu']} ({seen['interface']}) and {other['host']} one of {back['mtu']} ({back['interface']}). "
                   "Large messages would hang: give both the same.")
    yield from _rdma_errors(node, here, name, own.get("rdma") or [])


def _rdma_errors(node: t.Mapping[str, t.Any], here: str, name: str, devices: t.Sequence[t.Mapping[str, str]]) -> t.Iterator[str]:
    transport = node.get("transport")
    if not transport or not transport["devices"] or any(device["state"] == "ACTIVE" for device in devices):
        return
    there = ", ".join(f"{device['name']} ({device['state'] or 'no state'})" for device in devices) or "none"
    yield (f"{name}: distributed.transport {transport['name']} needs an RDMA device that is active, and {here} has {there}. "
           "See that its driver is loaded and its link is up, or write transport: tcp.")


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"unchecked_networks": unchecked_networks, "multi_node_network_errors": multi_node_network_errors}
