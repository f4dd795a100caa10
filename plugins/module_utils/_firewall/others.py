# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other managers of a host's firewall. Two managers remove each other's rules, so they are reported."""

from __future__ import annotations

import json
import typing as t

from .. import _host

_UNITS = ("firewalld.service", "nftables.service")
# UFW's package conflicts with these (Breaks), so apt would remove them together with their rules.
_PACKAGES = ("netfilter-persistent", "iptables-persistent")


def managers(packages: t.Collection[str]) -> list[str]:
    """Return the other active managers, for messages.

    :param packages: names of the installed packages
    """
    blocks = _host.run("systemctl", "show", "--property=ActiveState", *_UNITS).split("\n\n")
    active = [unit for unit, block in zip(_UNITS, blocks) if block.strip() == "ActiveState=active"]
    found = []
    if "firewalld.service" in active:
        found.append("firewalld is active")
    if "nftables.service" in active and filters_input(_host.run("nft", "--json", "list", "ruleset")):
        found.append("nftables.service is active, with rules for incoming packets")
    if "ufw" not in packages:
        found += [f"the package {name} is installed, which apt would remove with its rules" for name in _PACKAGES if name in packages]
    return found


def filters_input(ruleset: str) -> bool:
    """Whether tables other than those of iptables filter incoming packets, from the output of C(nft --json list ruleset)."""
    try:
        entries = json.loads(ruleset or "{}").get("nftables", [])
    except ValueError:
        return False
    chains = {_key(entry["chain"], "name") for entry in entries if entry.get("chain", {}).get("hook") == "input" and not _is_iptables(entry["chain"])}
    dropping = [entry for entry in entries if entry.get("chain", {}).get("policy") == "drop" and _key(entry["chain"], "name") in chains]
    return bool(dropping) or any(_key(entry["rule"], "chain") in chains for entry in entries if "rule" in entry)


def _key(entry: t.Mapping[str, t.Any], chain: str) -> tuple[t.Any, ...]:
    return (entry.get("family"), entry.get("table"), entry.get(chain))


def _is_iptables(chain: t.Mapping[str, t.Any]) -> bool:
    return chain.get("family") in ("ip", "ip6") and chain.get("table") in ("filter", "mangle", "nat", "raw", "security")
