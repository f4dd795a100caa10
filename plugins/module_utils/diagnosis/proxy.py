# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proxy variables that a service gets: whether programs that read them would send requests to this host or to other nodes through the proxy."""

from __future__ import annotations

import ipaddress
import typing as t
import urllib.parse

from .context import Context
from .finding import Result, error

NAMES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
LOOPBACK = ("127.0.0.1", "localhost")


def check(context: Context) -> Result:
    """The environment of each unit, which includes what systemd passes to all of them."""
    for unit in context.units:
        used = [name for name in NAMES if unit.environment.get(name)]
        if not used:
            continue
        direct = ",".join(unit.environment.get(name, "") for name in ("no_proxy", "NO_PROXY"))
        known = context.of(unit.service)
        targets = (*LOOPBACK, *dict.fromkeys(address for address in (known.address, *(peer.address for peer in known.peers)) if address))
        caught = [target for target in targets if not is_direct(target, direct)]
        if caught:
            where = _without_user(unit.environment[used[0]])
            cause = f"{used[0]}={where} of {unit.name} also applies to {', '.join(caught)}, since no_proxy does not list them"
            command = f"systemctl show-environment | grep -i proxy; systemctl show --property=Environment,EnvironmentFiles {unit.name}"
            yield error("proxy", cause, command, unit.service)


def is_direct(target: str, no_proxy: str) -> bool:
    """Whether no_proxy exempts a host: by name, by a domain, by address or network, or because everything is exempt (*)."""
    return any(_matches(target, part.strip().lower()) for part in no_proxy.split(",") if part.strip())


def _matches(target: str, part: str) -> bool:
    if part == "*" or part == target:
        return True
    try:
        return ipaddress.ip_address(target) in ipaddress.ip_network(part, strict=False)
    except ValueError:
        return target.endswith("." + part.lstrip("*").lstrip("."))


def _without_user(address: str) -> str:
    """Return a proxy's address without user and password, with or without a scheme."""
    parts = urllib.parse.urlsplit(address if "://" in address else f"//{address}")
    scheme: t.Any = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{parts.netloc.rpartition('@')[2]}"
