# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Allowed sources of the firewall, as users write them."""

from __future__ import annotations

import functools
import ipaddress

from dataclasses import dataclass
from typing import Any, Iterable, Union

from ... import values
from ...errors import InvalidValue, did_you_mean, shown

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

EVERYBODY = ("0.0.0.0/0", "::/0")
_ANY = ("any", "all", "anywhere")
LOGGING = ("off", "low", "medium", "high", "full")
_PROTOCOLS = ("tcp", "udp")
_PORT = values.integer(1, 65535)


@dataclass(frozen=True)
class OpenPort:
    """A port of another program on the host, and its allowed sources."""

    port: int
    protocol: str
    sources: tuple[str, ...]


def open_ports(value: Any) -> tuple[OpenPort, ...]:
    """Ports of other programs, each with its allowed sources."""
    if not isinstance(value, (list, tuple)):
        raise InvalidValue("this is not a list", _OPEN_PORT)
    return tuple(_open_port(item) for item in value)


_OPEN_PORT = "write a list like [{port: 9100, sources: [10.0.0.0/8]}]; protocol is tcp unless it is udp"


def _open_port(item: Any) -> OpenPort:
    pairs = values.mapping(item)
    unknown = [key for key in pairs if key not in ("port", "protocol", "sources")]
    if unknown:
        raise InvalidValue(f"a port has no key {shown(unknown[0])}", did_you_mean(unknown[0], ("port", "protocol", "sources"), _OPEN_PORT))
    if pairs.get("port") is None or not pairs.get("sources"):
        raise InvalidValue("each item needs a port and its sources", _OPEN_PORT)
    protocol = pairs.get("protocol", "tcp")
    if protocol not in _PROTOCOLS:
        raise InvalidValue(f"{shown(protocol)} is not a supported protocol", "write tcp or udp")
    return OpenPort(_PORT(pairs["port"]), protocol, sources(pairs["sources"]))


def sources(value: Any) -> tuple[str, ...]:
    """A unique list of networks and addresses, where C(any) is any source over IPv4 and IPv6. One error names all invalid items."""
    read: list[str] = []
    wrong: list[str] = []
    meant: list[str] = []
    for item in values.strings(value):
        if item in _ANY:
            read += EVERYBODY
            continue
        try:
            read.append(str(ipaddress.ip_network(item)))
        except ValueError:
            near = _near(item)
            wrong.append(f"{shown(item)} {'has host bits set' if near else 'is not a network'}")
            meant += near
    if wrong:
        fix = f"did you mean {' and '.join(meant)}?" if meant else "write networks like 10.0.0.0/8, addresses, or any"
        raise InvalidValue(", ".join(wrong), fix)
    return tuple(dict.fromkeys(read))


def _near(text: str) -> list[str]:
    """The network without the host bits, and the address itself; empty for anything else."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return []
    return [f"{network} (or {text.partition('/')[0]} alone)"]


def logging(value: Any) -> str:
    """A log level of UFW, empty to leave the host's level. YAML reads off and on as false and true."""
    if value in (None, ""):
        return ""
    if isinstance(value, bool):
        return "low" if value else "off"
    read = values.string(value).lower()
    if read not in LOGGING:
        raise InvalidValue("UFW has no such logging level", f"write one of {', '.join(LOGGING)}, or leave it out to keep the host's level")
    return read


def contain(networks: Iterable[str], address: str) -> bool:
    """Whether an address is in one of the networks. An invalid address is in none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network) for network in networks if ipaddress.ip_network(network).version == found.version)


def cover_all_addresses(networks: Iterable[str]) -> bool:
    """Whether the networks together contain all addresses of a family, even if written in parts."""
    return _cover_all_addresses(tuple(networks))


@functools.lru_cache(maxsize=64)
def _cover_all_addresses(networks: tuple[str, ...]) -> bool:
    """Cached, since most hosts have the same settings."""
    read = [ipaddress.ip_network(network) for network in networks]
    merged: list[Network] = []
    for version in (4, 6):
        merged += ipaddress.collapse_addresses([network for network in read if network.version == version])
    return any(network.prefixlen == 0 for network in merged)


def smallest(addresses: Iterable[str]) -> tuple[Network, ...]:
    """The fewest networks that contain exactly these addresses. Host names are left out."""
    read = {ipaddress.ip_network(found) for address in addresses if (found := _address(address)) is not None}
    merged: list[Network] = []
    for version in (4, 6):
        merged += ipaddress.collapse_addresses(network for network in read if network.version == version)
    return tuple(merged)


def without(networks: Iterable[Network], *addresses: str) -> list[str]:
    """The networks without some addresses, sorted. A network of one address becomes that address."""
    left = list(networks)
    for own in {found for address in addresses if (found := _address(address)) is not None}:
        left = [part for network in left for part in _without(network, own)]
    return [str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network) for network in left]


def _without(network: Network, address: Address) -> list[Network]:
    if address.version != network.version or address not in network:
        return [network]
    return sorted(network.address_exclude(ipaddress.ip_network(address)))


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
