# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send new connections for one port of the host to another one: rules of the kernel's NAT table, which no reboot survives.

Connections that exist continue where they are, when the redirect begins and when it ends. Connections of the host itself are not redirected: they do not
pass PREROUTING.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
import shutil
import typing as t

from . import port as filtered

# Comment of the rules, with the unit after it.
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


def holding_rule(unit: str, target: int) -> list[str]:
    """A rule that matches and does nothing. Without any rule that needs it, as on a host without a firewall, the kernel stops tracking connections, and
    those that were redirected break: their packets no longer get the other port."""
    return [
        "PREROUTING", "--protocol", "tcp", "--dport", str(target), "--match", "conntrack", "--ctstate", "NEW", "--match", "comment", "--comment", OWNER + unit,
    ]


def switch(unit: str, port: int, address: str, target: int) -> list[str]:
    """Redirect new connections. Return the errors; then nothing is redirected."""
    errors = []
    for family, destination in families(address).items():
        for wanted in (holding_rule(unit, target), rule(unit, port, destination, target)):
            chain, *rest = wanted
            # A run that died may have left it.
            if _nat(family, "--check", chain, *rest):
                errors += [error for error in [_nat(family, "--insert", chain, "1", *rest)] if error]
    if errors:
        switch_back(unit)
        release(unit)
    return list(dict.fromkeys(errors))


def switch_back(unit: str) -> list[str]:
    """End the redirect. Connections that were redirected continue until C(release). Return the errors."""
    return _delete(unit, lambda words: "DNAT" in words)


def release(unit: str) -> list[str]:
    """Remove the other rule, when no redirected connection is left. Return the errors."""
    return _delete(unit, lambda words: True)


def unusable(address: str) -> list[str]:
    """Return why connections to an address cannot be redirected on this host; empty if they can, as far as that can be known without doing it."""
    found = {filtered.FAMILIES[family].name: _rules(family)[1] for family in families(address)}
    return [f"{command}: {error}" for command, error in found.items() if error]


def _delete(unit: str, chosen: t.Callable[[t.Sequence[str]], bool]) -> list[str]:
    """Remove the rules of a unit, whatever port and address they have: those of the unit may have changed since a run that died has set them.

    A family that the host does not have has no rules either.
    """
    errors = []
    for family, command in filtered.FAMILIES.items():
        rules, error = _rules(family)
        if error and shutil.which(command.name) and _has(family):
            errors.append(f"{command.name}: {error}")
        for words in rules:
            if OWNER + unit in words and chosen(words):
                errors += [error for error in [_nat(family, "--delete", *words)] if error]
    return errors


def _rules(family: int) -> tuple[list[list[str]], str]:
    """The rules of the chain, each as the words after C(-A), and an error."""
    text, error = filtered.output(filtered.FAMILIES[family].name, "--table", "nat", "--list-rules", "PREROUTING")
    return [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("-A ")], error


def _has(family: int) -> bool:
    """Whether the kernel has this family of addresses."""
    return family == 4 or os.path.exists("/proc/net/if_inet6")


def _nat(family: int, *arguments: str) -> str:
    return filtered.run(filtered.FAMILIES[family].name, "--table", "nat", *arguments)
