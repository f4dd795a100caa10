# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The listening ports of a host with the sources from which its firewall allows connections."""

from __future__ import annotations

import ipaddress

from typing import Any, Iterable, Mapping, Sequence

LOOPBACK, OPEN, CLOSED, RULES = "this host only", "not filtered by UFW", "closed", "sources"


def scan(listeners: Iterable[Mapping[str, Any]], rules: Sequence[Mapping[str, Any]] | None, unread: Mapping[str, str]) -> list[dict[str, Any]]:
    """An item for each listener, with C(reachable) (one of the words above, or C(unknown)) and C(sources).

    The order of rules does not count: a source of an allowing rule is listed even if an earlier rule denies a part of it.

    :param rules: UFW's rules, as the module C(deployed_state) returns them; None if UFW closes nothing
    :param unread: what the module could not read
    """
    return [{**listener, **_reach(listener, rules, "firewall" in unread)} for listener in listeners]


def _reach(listener: Mapping[str, Any], rules: Sequence[Mapping[str, Any]] | None, unknown: bool) -> dict[str, Any]:
    if _is_loopback(listener["address"]):
        return {"reachable": LOOPBACK, "sources": []}
    if unknown:
        return {"reachable": "unknown", "sources": []}
    if rules is None:
        return {"reachable": OPEN, "sources": []}
    sources = [_source(rule) for rule in rules if _allows(rule, listener)]
    return {"reachable": RULES if sources else CLOSED, "sources": list(dict.fromkeys(sources))}


def _source(rule: Mapping[str, Any]) -> str:
    return f"{rule['source']} ({rule['elsewhere']})" if rule["elsewhere"] else str(rule["source"])


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return found.is_loopback or bool(getattr(found, "ipv4_mapped", None) and found.ipv4_mapped.is_loopback)  # type: ignore[union-attr]


def _allows(rule: Mapping[str, Any], listener: Mapping[str, Any]) -> bool:
    """Whether a rule opens the listener's port. A listener on :: takes IPv4 connections too."""
    families = (4, 6) if listener["address"] == "::" else (6,) if ":" in listener["address"] else (4,)
    return (
        str(rule["action"]).startswith(("allow", "limit")) and rule["family"] in families and rule["protocol"] in ("any", listener["protocol"])
        and _has_port(str(rule["port"]), listener["port"])
    )


def _has_port(text: str, port: int) -> bool:
    """Whether UFW's ports (22, 8000:8010, 80,443, or empty for all) have this one."""
    if text in ("", "any"):
        return True
    for part in text.split(","):
        first, _colon, last = part.partition(":")
        if first.isdigit() and int(first) <= port <= int(last if last.isdigit() else first):
            return True
    return False
