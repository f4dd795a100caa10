# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a multi-node service: the interfaces that NCCL and Gloo are told to use, the route to the other nodes, and the size of packets."""

from __future__ import annotations

import concurrent.futures
import errno
import json
import socket
import time
import typing as t

from .commands import Unread, is_installed, output
from .context import Context, Known, Peer
from .finding import Result, Unknown, error, warning
from .units import Unit

# Variables that name interfaces. NCCL takes prefixes, "=" before an exact name and "^" before what to leave out (NCCL's user guide, "Environment Variables").
VARIABLES = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")
# Of linux/in.h; Python names none of them before 3.14.
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO, _IP_MTU = 10, 2, 14
# Headers of IPv4 and UDP in bytes; IPv4 and ICMP have the same.
_HEADERS = 28
_LONGEST = 65535
# The discard service: whatever listens there ignores what it gets.
_DISCARD = 9
# Nodes that are checked at the same time.
AT_ONCE = 16
# Seconds that a router gets for its answer that a packet is too large.
_WAIT = 0.5

Links = t.Mapping[str, t.Mapping[str, t.Any]]


def check(context: Context) -> Result:
    """The interfaces and routes of each multi-node service."""
    nodes = [(unit, context.of(unit.service)) for unit in context.units if context.of(unit.service).peers]
    if not nodes:
        return
    links = read_links()
    for unit, known in nodes:
        for name in VARIABLES:
            yield from _variable(name, unit, known, links)
    # Units of one service on a host have the same peers.
    ways = [(service, known, peer) for service, known in {unit.service: known for unit, known in nodes}.items() for peer in known.peers]
    # A node that does not answer costs seconds.
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for found in pool.map(lambda way: [*_route(*way), *_packets(way[0], way[2], links)], ways):
            yield from found


def read_links() -> dict[str, dict[str, t.Any]]:
    """Return the interfaces by name: C(mtu), C(is_up) and C(addresses). Raises Unread."""
    try:
        listed = json.loads(output("ip", "-json", "address", "show"))
        return {
            link["ifname"]: {
                "mtu": int(link.get("mtu", 0)), "is_up": "UP" in link.get("flags", ()) and link.get("operstate") != "DOWN",
                "addresses": [row["local"] for row in link.get("addr_info", []) if "local" in row],
            }
            for link in listed if "ifname" in link
        }
    except (ValueError, TypeError, KeyError) as problem:
        raise Unread(f"ip printed no list of interfaces: {type(problem).__name__}") from None


def chosen(value: str, links: Links) -> list[str]:
    """Return the interfaces that a variable's value selects."""
    left_out, rest = value.startswith("^"), value.lstrip("^")
    exact, rest = rest.startswith("="), rest.lstrip("=")
    names = [part.strip() for part in rest.split(",") if part.strip()]
    hit = [link for link in links if (link in names if exact else link.startswith(tuple(names)))]
    return [link for link in links if link not in hit] if left_out else hit


def _variable(name: str, unit: Unit, known: Known, links: Links) -> Result:
    value = unit.environment.get(name, "")
    if not value:
        return
    found, look = chosen(value, links), "ip -brief address show"
    up = [link for link in found if links[link]["is_up"]]
    if not found:
        there = ", ".join(link for link in links if link != "lo")
        yield error("network-interface", f"{name}={value} of {unit.name} names no interface of this host, which has {there}", look, unit.service)
    elif not up:
        yield error("network-interface", f"{name}={value} of {unit.name} names {', '.join(found)}, which is down", look, unit.service)
    elif known.address and not any(known.address in links[link]["addresses"] for link in up):
        cause = f"{name}={value} of {unit.name} names {', '.join(up)}, which does not have the node's address {known.address}"
        yield error("network-interface", cause, look, unit.service)


def _route(service: str, known: Known, peer: Peer) -> Result:
    host, address = peer
    try:
        device = json.loads(output("ip", "-json", "route", "get", address))[0].get("dev", "")
    except (Unread, ValueError, LookupError, AttributeError) as problem:
        yield error("network-route", f"this host has no route to the node {host} ({address}): {problem}", f"ip route get {address}", service)
        return
    if known.interface and device not in (known.interface, "lo"):
        cause = f"packets to the node {host} ({address}) leave through {device}, and the service uses {known.interface}"
        yield warning("network-route", cause, f"ip route get {address}", service)


def _packets(service: str, peer: Peer, links: Links) -> Result:
    """Whether packets of the interface's size reach another node: by what the kernel learns, and by ping where it is installed."""
    host, address = peer
    if ":" in address:
        # The smallest packet of IPv6 always passes, and routers never fragment: nothing to find out with IPv4's flag.
        return
    try:
        device, known = path_mtu(address)
    except OSError as problem:
        yield Unknown(f"packet size to {host}", problem.strerror or str(problem))
        return
    # A packet of IPv4 has 65535 bytes at most; loopback's MTU is one more.
    mtu = min(_LONGEST, max((link["mtu"] for link in links.values() if device in link["addresses"]), default=0))
    look = f"tracepath -n {address}"
    if mtu and known < mtu:
        cause = f"packets to the node {host} ({address}) may have {known} bytes, and this host's interface sends {mtu}: a hop between them has a smaller MTU"
        yield error("mtu-path", cause, look, service)
    elif mtu and is_installed("ping") and answers(address, 0) and not answers(address, mtu - _HEADERS):
        cause = f"the node {host} ({address}) answers small packets, and none of {mtu} bytes, the MTU of this host's interface"
        yield error("mtu-path", cause, look, service)


def path_mtu(address: str) -> tuple[str, int]:
    """Return this host's address towards another, and the packet size that the kernel knows for the path after one full packet. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
        probe.connect((address, _DISCARD))
        try:
            probe.send(b"\0" * (min(probe.getsockopt(socket.IPPROTO_IP, _IP_MTU), _LONGEST) - _HEADERS))
            time.sleep(_WAIT)
        except OSError as problem:
            # Refused: the other node answered the packet. Too large: the kernel knows a smaller size.
            if problem.errno not in (errno.EMSGSIZE, errno.ECONNREFUSED):
                raise
        return str(probe.getsockname()[0]), int(probe.getsockopt(socket.IPPROTO_IP, _IP_MTU))


def answers(address: str, size: int) -> bool:
    """Whether a host answers a ping of this many bytes that must not be fragmented."""
    try:
        output("ping", "-n", "-q", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", str(size), address, seconds=5)
        return True
    except Unread:
        return False
