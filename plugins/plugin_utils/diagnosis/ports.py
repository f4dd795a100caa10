# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of services that another process holds."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import error

from .host import Findings, Host

_ANY = ("0.0.0.0", "::", "*")


def check(host: Host) -> Findings:
    """The API's port of each service, from the plan, else from its unit."""
    wanted = {unit["service"]: (int(unit["port"]), "0.0.0.0") for unit in host.facts.get("services", ()) if unit.get("port")}
    wanted.update({service["name"]: (service["port"], service["address"]) for service in host.services if service.get("url")})
    own: dict[str, set[str]] = {}
    for unit in host.facts.get("services", ()):
        own.setdefault(unit["service"], set()).add(unit["unit"])
    for service in host.services:
        own.setdefault(service["name"], set()).update(unit["unit"] for unit in service.get("units", ()))
    for service, (port, address) in wanted.items():
        for listener in host.facts.get("listeners", ()):
            if listener["port"] == port and _overlap(address, listener["address"]) and listener.get("unit") not in own.get(service, ()):
                cause = f"port {port} is held by {holder(listener)}, so the service cannot listen on it"
                yield error("port-taken", cause, f"ss -ltnp 'sport = :{port}'", service)
                break


def holder(listener: Mapping[str, Any]) -> str:
    """Who holds a port, as far as it is known."""
    if not listener.get("pid"):
        return f"a process that this user cannot see ({listener['address']})"
    unit = f" of the unit {listener['unit']}" if listener.get("unit") else ""
    return f"{listener.get('program') or 'a program'} (pid {listener['pid']}){unit}"


def _overlap(first: str, second: str) -> bool:
    return first == second or first in _ANY or second in _ANY
