# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that containers publish: packets to them are forwarded (DNAT) before any rule of UFW sees them."""

from __future__ import annotations

import ipaddress
import typing as t

from . import rules

# Chains in which Docker and Podman's networks publish ports.
_CHAINS = ("DOCKER", "CNI-DN-", "NETAVARK-DN-", "NETAVARK-HOSTPORT-DNAT")


def ports(saved: str) -> list[int]:
    """Ports that are published on other addresses than loopback, from the output of iptables-save or ip6tables-save."""
    found = set()
    for line in rules.table(saved, "nat"):
        words = line.split()
        if len(words) < 3 or words[0] != "-A" or not words[1].startswith(_CHAINS) or words[1].startswith("DOCKER_"):
            continue
        told = dict(zip(words, words[1:]))
        if told.get("-j") == "DNAT" and not _is_loopback(told.get("-d", "")):
            found.update(_numbers(told.get("--dport") or told.get("--dports") or ""))
    return sorted(found)


def _is_loopback(destination: str) -> bool:
    try:
        return bool(destination) and ipaddress.ip_network(destination).is_loopback
    except ValueError:
        return False


def _numbers(text: str) -> t.Iterator[int]:
    """The ports of V(8000), V(8000:8003) or V(80,443)."""
    for part in text.split(","):
        first, _colon, last = part.partition(":")
        if first.isdigit() and (not last or last.isdigit()):
            yield from range(int(first), int(last or first) + 1)
