# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The address at which other hosts reach a host."""

from __future__ import annotations

import ipaddress

from .facts import HostFacts


def reached_at(inventory_address: str, facts: HostFacts | None, interface: str | None = None) -> tuple[str, str]:
    """Address and interface (empty when not known).

    The address of the named interface; else the inventory's address where the host has it; else the address of the default route.
    """
    interfaces = facts.interfaces if facts is not None else {}
    if interface is not None:
        addresses = interfaces.get(interface, ())
        return plain(inventory_address) if plain(inventory_address) in addresses or not addresses else addresses[0], interface
    inventory_address = plain(inventory_address)
    for address in (inventory_address, facts.default_ipv4 if facts is not None else "", facts.default_ipv6 if facts is not None else ""):
        for name, addresses in interfaces.items():
            if address in addresses and not address.startswith("127.") and address != "::1":
                return address, name
    return inventory_address, ""


def plain(address: str) -> str:
    """An IP address in its shortest form and without brackets; a host name unchanged."""
    try:
        return str(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        return address


def bracketed(address: str) -> str:
    """An address for a URL."""
    return f"[{plain(address)}]" if ":" in plain(address) else address
