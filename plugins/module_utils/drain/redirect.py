# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send new connections for one port of the host to another one: a rule of the kernel's NAT table, which no reboot survives.

Connections that exist continue where they are, when the rule comes and when it goes. Connections of the host itself are not redirected: they do not
pass PREROUTING.
"""

from __future__ import annotations

import ipaddress

from . import port as filtered

# Comment of the rule, with the unit after it.
OWNER = "inferops: redirect "


def rule(unit: str, port: int, address: str, target: int) -> list[str]:
    """The rule. DNAT with a port alone keeps the address, which REDIRECT replaces by the first one of the interface."""
    return [
        # Not what the host forwards, for containers for example.
        "PREROUTING", "--protocol", "tcp", "--match", "addrtype", "--dst-type", "LOCAL", *(["--destination", address] if address else []),
        # Where nothing has tracked connections before this rule, packets of existing ones look like new connections, but have no SYN.
        "--dport", str(port), "--syn", "--match", "comment", "--comment", OWNER + unit, "--jump", "DNAT", "--to-destination", f":{target}",
    ]


def families(address: str) -> dict[int, str]:
    """By family of addresses the address on which a service listens, empty for all of the host's."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        # A name that the host resolves: any of its addresses.
        return {4: "", 6: ""}
    if not found.is_unspecified:
        return {found.version: str(found)}
    # "::" takes IPv4 connections, too.
    return {4: "", 6: ""} if found.version == 6 else {4: ""}


def switch(unit: str, port: int, address: str, target: int) -> list[str]:
    """Redirect new connections. Return the errors; then nothing is redirected."""
    errors = []
    for family, destination in families(address).items():
        command = filtered.FAMILIES[family].name
        chain, *rest = rule(unit, port, destination, target)
        # A run that died may have left it.
        if filtered.run(command, "--table", "nat", "--check", chain, *rest):
            errors += [error for error in [filtered.run(command, "--table", "nat", "--insert", chain, "1", *rest)] if error]
    if errors:
        switch_back(unit, port, address, target)
    return errors


def switch_back(unit: str, port: int, address: str, target: int) -> list[str]:
    """Remove the rule, however often it is there. Return the errors."""
    errors = []
    for family, destination in families(address).items():
        command, wanted = filtered.FAMILIES[family].name, rule(unit, port, destination, target)
        while not filtered.run(command, "--table", "nat", "--check", *wanted):
            error = filtered.run(command, "--table", "nat", "--delete", *wanted)
            if error:
                errors.append(error)
                break
    return errors
