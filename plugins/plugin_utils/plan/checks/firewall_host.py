# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What turning the firewall on does to a host: whether its kernel can filter at all, and who is no longer reached."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, PlanWarning
from ..host.firewall import is_loopback, is_open, ssh_ports
from ..inputs.facts import Listener
from ..placement.draft import HostDraft
from ..placement.node_units import ports as ports_of_part, unit_names, worker_ports
from .base import check

_LEFT_ALONE = "firewall_enabled: false leaves the host's firewall alone"
# Listeners of the kernel's own have no process.
_KERNELS = {111: "rpcbind", 2049: "NFS", 4420: "NVMe over TCP", 51820: "WireGuard"}
# UDP ports of clients that are answered only, and those that UFW lets in by itself (before.rules: DHCP, mDNS, UPnP).
_ANSWERED = frozenset({68, 546, 1900, 5353})
# From here on Linux gives ports out by itself (net.ipv4.ip_local_port_range).
_FIRST_EPHEMERAL = 32768


@check()
def kernel_supports_iptables(host: HostDraft) -> Iterator[PlanError]:
    """The kernel has what the host's iptables works with: UFW would fail only when it is turned on, after everything else was changed."""
    if not host.settings.firewall_enabled or host.facts is None:
        return
    found = host.facts.firewall.lacking
    if not found:
        return
    why = f"the host's kernel has no {found.lacks}, which the host's {found.command} works with, and UFW with it"
    fix = f"choose another kernel; or {_LEFT_ALONE}"
    if found.other:
        first = "" if found.installed else "apt-get install iptables, then "
        sets = " && ".join(f"update-alternatives --set {command} /usr/sbin/{command}-{found.other}" for command in ("iptables", "ip6tables"))
        fix = f"on the host: {first}{sets}; or {_LEFT_ALONE}"
    yield PlanError(host.name, "", "firewall_enabled", "true", why, fix)


@check(accept="deny-outgoing")
def outgoing_traffic_is_allowed(host: HostDraft) -> Iterator[PlanWarning]:
    """An administrator's policy for what goes out is left alone, and may be in the way."""
    if host.settings.firewall_enabled and host.facts is not None and host.facts.firewall.outgoing in ("DROP", "REJECT"):
        what = "its firewall lets nothing out by default, which stays so: see that its own rules let out what downloads need"
        nodes = sorted({node.address for draft in host.services if draft.part is not None for node in draft.part.nodes if node.host != host.name})
        beside = f", and everything to {', '.join(nodes)}, the other nodes of its services" if nodes else ""
        yield PlanWarning(host.name, "", f"{what} (package index, weights, DNS){beside}; `ufw default allow outgoing` lets out everything")


@check(accept="blocked-ports")
def no_unmanaged_ports_are_blocked(host: HostDraft) -> Iterator[PlanWarning]:
    """Who listens on the host, and will no longer be reached once the firewall is turned on."""
    facts = host.facts
    if not host.settings.firewall_enabled or facts is None or not facts.firewall.opens_all:
        return
    ours = {port for draft in host.services if draft.part is not None for port in (*ports_of_part(draft.part).values(), *worker_ports(draft.part))}
    ours |= {draft.service.port for draft in host.services if is_open(draft) and draft.service.port is not None}
    units = {unit for draft in host.services for unit in unit_names(draft)}
    leaving = {f"{kind}-{service.name}.service" for service in host.absent for kind in ("vllm", "ray-head", "ray-worker")}
    let_in = {(opened.port, opened.protocol) for opened in host.settings.firewall_open_ports}
    let_in |= set(facts.firewall.let_in)
    let_in |= {(port, "tcp") for port in (*ours, *ssh_ports(host), *facts.firewall.published, *(port for port, _client in host.weights_clients))}
    shut: dict[tuple[int, str], str] = {}
    for listener in (*facts.listeners, *facts.udp_listeners):
        key = (listener.port, listener.protocol)
        client = listener.protocol == "udp" and (listener.port in _ANSWERED or listener.port >= _FIRST_EPHEMERAL)
        if key in let_in or (listener.port, "any") in let_in or client or is_loopback(listener.address) or listener.unit in units | leaving:
            continue
        shut.setdefault(key, _who(listener))
    if not shut:
        return
    told = ", ".join(f"{port}{'' if protocol == 'tcp' else '/udp'} ({who})" for (port, protocol), who in sorted(shut.items()))
    (port, protocol), _who_first = min(shut.items())
    example = f"{{port: {port}, {'' if protocol == 'tcp' else 'protocol: udp, '}sources: [10.0.0.0/8]}}"
    what = f"turning its firewall on shuts ports on which others listen: {told}"
    yield PlanWarning(host.name, "", f"{what}; who is to reach them goes into firewall_open_ports, like [{example}]; {_LEFT_ALONE}")


def _who(listener: Listener) -> str:
    if not listener.pid:
        return _KERNELS.get(listener.port, "the kernel, or a container")
    if listener.unit and listener.program:
        return f"{listener.program}, {listener.unit}"
    return listener.unit or listener.program or f"process {listener.pid}"
