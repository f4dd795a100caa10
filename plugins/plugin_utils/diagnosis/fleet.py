# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only shows on several hosts: nodes of one service with other versions, another size of packets, or another time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Iterator

from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import Finding, error, warning

from . import clock
from .host import Host

# Seconds by which the clocks of two nodes may differ.
APART = 2.0


def check(hosts: Sequence[Host]) -> Iterator[tuple[str, Finding]]:
    """The multi-node services of these hosts; each finding with the name of the host that it is about."""
    nodes: dict[str, list[tuple[Host, Mapping[str, Any]]]] = {}
    for host in hosts:
        for service in host.services:
            if service.get("node"):
                nodes.setdefault(service["name"], []).append((host, service))
    for name, members in nodes.items():
        yield from _differ(name, members, mtu_of, "mtu-differs", "the network interface's MTU", "ip -brief link", error)
        yield from _differ(name, members, _release_of, "version-differs", "the release that runs", "systemctl cat 'vllm-*' | grep releases/", error)
        yield from _differ(name, members, _driver_of, "driver-differs", "the driver's version", "nvidia-smi --query-gpu=driver_version --format=csv", warning)
        yield from _clocks(name, [host for host, _service in members])


def _differ(
    name: str, members: Sequence[tuple[Host, Mapping[str, Any]]], read: Callable[[Host, Mapping[str, Any]], str],
    check_name: str, what: str, command: str, build: Callable[..., Finding],
) -> Iterator[tuple[str, Finding]]:
    """Compare a value of all nodes. Unknown values do not count. The finding is one for each host with a rarer value than the most frequent one."""
    values = {host.name: value for host, service in members for value in [read(host, service)] if value}
    if len(set(values.values())) < 2:
        return
    usual = max(dict.fromkeys(values.values()), key=list(values.values()).count)
    others = [host for host, value in values.items() if value == usual]
    for host, value in values.items():
        if value != usual:
            yield host, build(check_name, f"{what} is {value} here and {usual} on {', '.join(others[:4])}", command, name)


def mtu_of(host: Host, service: Mapping[str, Any]) -> str:
    """The MTU of the interface that a node of a service uses; empty when unknown."""
    node = service.get("node") or {}
    name = interface_of(host, node)
    return str(host.found.get("interfaces", {}).get(name) or "")


def interface_of(host: Host, node: Mapping[str, Any]) -> str:
    """The interface of a node: the one with the node's address."""
    own = [item for item in node.get("nodes", ()) if item.get("host") == host.name]
    address = own[0].get("address", "") if own else ""
    return next((name for name, addresses in host.facts.get("interfaces", {}).items() if address and address in addresses), "")


def _release_of(host: Host, service: Mapping[str, Any]) -> str:
    return next((str(unit["release"]) for unit in host.running if unit["service"] == service["name"] and unit.get("release")), "")


def _driver_of(host: Host, _service: Mapping[str, Any]) -> str:
    return str(host.facts.get("driver_module") or "")


def _clocks(name: str, hosts: Sequence[Host]) -> Iterator[tuple[str, Finding]]:
    """The certain difference between two clocks: the distance of the intervals that they lie in."""
    known = [(host.name, bound) for host in hosts for bound in [clock.bounds(host)] if bound is not None]
    for position, (host, (_least, most)) in enumerate(known):
        for other, (least, _most) in known[:position] + known[position + 1:]:
            if least - most > APART:
                cause = f"the clock is at least {least - most:.0f} s behind that of the node {other}"
                yield host, warning("clock-nodes", cause, "timedatectl status", name)
                break
