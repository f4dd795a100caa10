# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that a firewall lets in, as users write them."""

from __future__ import annotations

import ipaddress

from typing import Any, Iterable, Union

from . import values
from .faults import Bad, shown

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

EVERYBODY = ("0.0.0.0/0", "::/0")
_ANY = ("any", "all", "anywhere")
LOGGING = ("off", "low", "medium", "high", "full")


def sources(value: Any) -> tuple[str, ...]:
    """A list of networks and addresses, each once, where C(any) stands for everybody by IPv4 and IPv6. What is wrong with any of them is told at once."""
    read: list[str] = []
    wrong: list[str] = []
    meant: list[str] = []
    for item in values.texts(value):
        if item in _ANY:
            read += EVERYBODY
            continue
        try:
            read.append(str(ipaddress.ip_network(item)))
        except ValueError:
            near = _near(item)
            wrong.append(f"{shown(item)} {'has bits set beyond its length' if near else 'is no network'}")
            meant += near
    if wrong:
        remedy = f"did you mean {' and '.join(meant)}?" if meant else "write networks like 10.0.0.0/8, addresses, or any for everybody"
        raise Bad(", ".join(wrong), remedy)
    return tuple(dict.fromkeys(read))


def _near(text: str) -> list[str]:
    """The network that a network with bits beyond its length lies in, and the address itself."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return []
    return [f"{network} (or {text.partition('/')[0]} alone)"]


def logging(value: Any) -> str:
    """A level of UFW's log. YAML reads off and on as false and true."""
    if isinstance(value, bool):
        return "low" if value else "off"
    read = values.text(value).lower()
    if read not in LOGGING:
        raise Bad("UFW has no such logging level", f"write one of {', '.join(LOGGING)}")
    return read


def contain(networks: Iterable[str], address: str) -> bool:
    """Whether an address lies in one of the networks. One that cannot be read lies in none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network) for network in networks if ipaddress.ip_network(network).version == found.version)


def hold_everybody(networks: Iterable[str]) -> bool:
    """Whether the networks together are all addresses of a family, be it written in halves."""
    read = [ipaddress.ip_network(network) for network in networks]
    merged: list[Network] = []
    for version in (4, 6):
        merged += ipaddress.collapse_addresses([network for network in read if network.version == version])
    return any(network.prefixlen == 0 for network in merged)
