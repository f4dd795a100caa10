# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Close a port to new connections, and open it again: one rule of the kernel's packet filter before all others, which no reboot survives.

A load balancer gets a reset at once, as from a port that nobody listens on, and tries another replica. Open connections continue.
"""

from __future__ import annotations

import ipaddress
import subprocess
import typing as t

# Comment of the rule, with the unit after it. UFW's rules of this collection have other comments, so none of its tasks removes this one.
OWNER = "inferops: drain "
SECONDS = 10
# iptables waits this many seconds for the lock of another one.
LOCK_SECONDS = "5"


class Command(t.NamedTuple):
    """The program for one family of addresses, and the loopback address of that family."""

    name: str
    loopback: str


FAMILIES = {4: Command("iptables", "127.0.0.1"), 6: Command("ip6tables", "::1")}


def rule(unit: str, port: int, source: str) -> list[str]:
    """The rule without its action: it resets each new connection to a port, except those from one of the host's own addresses."""
    return [
        "INPUT", "--protocol", "tcp", "!", "--source", source, "--dport", str(port), "--syn",
        "--match", "comment", "--comment", OWNER + unit, "--jump", "REJECT", "--reject-with", "tcp-reset",
    ]


def sources(address: str) -> dict[int, str]:
    """By family the address from which connections stay possible: that at which the host itself reaches the service, else the loopback address."""
    found = {family: command.loopback for family, command in FAMILIES.items()}
    try:
        own = ipaddress.ip_address(address)
    except ValueError:
        return found
    return {**found, own.version: str(own)}


def close(unit: str, port: int, address: str) -> list[str]:
    """Close the port to new connections. Return the errors, one for each family whose filter does not work."""
    return [error for error in (_close(family, rule(unit, port, source)) for family, source in sources(address).items()) if error]


def _close(family: int, wanted: list[str]) -> str:
    command = FAMILIES[family].name
    chain, *rest = wanted
    if not run(command, "--check", chain, *rest):
        return ""
    return run(command, "--insert", chain, "1", *rest)


def open_again(unit: str, port: int, address: str) -> list[str]:
    """Remove the rule, however often it is there. Return the errors."""
    errors = []
    for family, source in sources(address).items():
        command, wanted = FAMILIES[family].name, rule(unit, port, source)
        while not run(command, "--check", *wanted):
            error = run(command, "--delete", *wanted)
            if error:
                errors.append(error)
                break
    return errors


def run(command: str, *arguments: str) -> str:
    """Run iptables. Return its error; empty when it succeeded."""
    error = output(command, *arguments)[1]
    return f"{command}: {error}" if error else ""


def output(command: str, *arguments: str) -> tuple[str, str]:
    """Run iptables. Return its output and its error; the error is empty when it succeeded."""
    try:
        done = subprocess.run(
            [command, "--wait", LOCK_SECONDS, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=SECONDS, check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    return (done.stdout, "") if done.returncode == 0 else ("", done.stdout.strip() or f"exit status {done.returncode}")
