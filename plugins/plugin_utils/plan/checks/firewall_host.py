# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What enabling the firewall does to a host: whether its kernel supports it, and which other ports it blocks."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, PlanWarning
from ..host.firewall import is_loopback, is_open, ssh_ports
from ..inputs.facts import Listener
from ..placement.disaggregation import side_channel
from ..placement.draft import HostDraft
from ..placement.node_units import ports as ports_of_node, unit_names, worker_ports
from .base import check

_LEFT_ALONE = "firewall_enabled: false leaves the host's firewall alone"
# Listeners of the kernel have no process.
_KERNELS = {111: "rpcbind", 2049: "NFS", 4420: "NVMe over TCP", 51820: "WireGuard"}
# UDP ports of clients that only get replies, and those that UFW allows by itself (before.rules: DHCP, mDNS, UPnP).
_ANSWERED = frozenset({68, 546, 1900, 5353})
# The first ephemeral port of Linux (net.ipv4.ip_local_port_range).
_FIRST_EPHEMERAL = 32768


@check()
def kernel_supports_iptables(host: HostDraft) -> Iterator[PlanError]:
    """The kernel supports the host's iptables backend: otherwise UFW would fail when it is enabled, after other changes were made."""
    if not host.settings.firewall_enabled or host.facts is None:
        return
    found = host.facts.firewall.lacking
    if not found:
        return
    why = f"the host's kernel has no {found.lacks}, which {found.command} and UFW need"
    fix = f"boot another kernel; or {_LEFT_ALONE}"
    if found.other:
        first = "" if found.installed else "apt-get install iptables, then "
        sets = " && ".join(f"update-alternatives --set {command} /usr/sbin/{command}-{found.other}" for command in ("iptables", "ip6tables"))
        fix = f"on the host: {first}{sets}; or {_LEFT_ALONE}"
    yield PlanError(host.name, "", "firewall_enabled", "true", why, fix)


@check(accept="deny-outgoing")
def outgoing_traffic_is_allowed(host: HostDraft) -> Iterator[PlanWarning]:
    """The firewall allows outgoing traffic: the roles do not change an administrator's policy, which may block downloads."""
    if host.settings.firewall_enabled and host.facts is not None and host.facts.firewall.outgoing in ("DROP", "REJECT"):
        what = "its firewall denies outgoing traffic by default, and this run does not change that: its rules have to allow downloads"
        nodes = sorted({node.address for draft in host.services if draft.placement is not None for node in draft.placement.nodes if node.host != host.name})
        beside = f", and all traffic to {', '.join(nodes)}, the other nodes of its services" if nodes else ""
        yield PlanWarning(host.name, "", f"{what} (package index, weights, DNS){beside}; `ufw default allow outgoing` allows everything")


@check(accept="blocked-ports")
def no_unmanaged_ports_are_blocked(host: HostDraft) -> Iterator[PlanWarning]:
    """Enabling the firewall blocks no port on which another program of the host listens."""
    facts = host.facts
    if not host.settings.firewall_enabled or facts is None or not facts.firewall.opens_all:
        return
    placements = [draft.placement for draft in host.services if draft.placement is not None]
    ours = {port for placement in placements for port in (*ports_of_node(placement).values(), *worker_ports(placement))}
    ours |= {port for draft in host.services for port in side_channel(draft)}
    ours |= {draft.service.port for draft in host.services if is_open(draft) and draft.service.port is not None}
    units = {unit for draft in host.services for unit in unit_names(draft)}
    leaving = {f"{kind}-{service.name}.service" for service in host.absent for kind in ("vllm", "ray-head", "ray-worker")}
    let_in = {(opened.port, opened.protocol) for opened in host.settings.firewall_open_ports}
    let_in |= set(facts.firewall.let_in)
    let_in |= {(port, "tcp") for port in (*ours, *ssh_ports(host), *facts.firewall.published, *(port for port, _client in host.weights_clients))}
    blocked: dict[tuple[int, str], str] = {}
    for listener in (*facts.listeners, *facts.udp_listeners):
        key = (listener.port, listener.protocol)
        client = listener.protocol == "udp" and (listener.port in _ANSWERED or listener.port >= _FIRST_EPHEMERAL)
        if key in let_in or (listener.port, "any") in let_in or client or is_loopback(listener.address) or listener.unit in units | leaving:
            continue
        blocked.setdefault(key, _who(listener))
    if not blocked:
        return
    ports = ", ".join(f"{port}{'' if protocol == 'tcp' else '/udp'} ({who})" for (port, protocol), who in sorted(blocked.items()))
    (port, protocol), _who_first = min(blocked.items())
    example = f"{{port: {port}, {'' if protocol == 'tcp' else 'protocol: udp, '}sources: [10.0.0.0/8]}}"
    what = f"enabling its firewall blocks ports on which other programs listen: {ports}"
    yield PlanWarning(host.name, "", f"{what}; allow their clients in firewall_open_ports, like [{example}]; {_LEFT_ALONE}")


def _who(listener: Listener) -> str:
    if not listener.pid:
        return _KERNELS.get(listener.port, "the kernel, or a container")
    if listener.unit and listener.program:
        return f"{listener.program}, {listener.unit}"
    return listener.unit or listener.program or f"process {listener.pid}"
