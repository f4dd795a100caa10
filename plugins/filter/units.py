# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the units of services. A multi-node service may have two on a host. Documented in the .yml files beside this one."""

from __future__ import annotations

import base64
import typing as t

from ansible_collections.inferops.gpu.plugins.filter.systemd import environment_file

Service = t.Mapping[str, t.Any]


def unit_items(services: t.Sequence[Service], secrets: t.Mapping[str, t.Mapping[str, str]]) -> list[dict[str, t.Any]]:
    """Return each unit of the present services with the values for its unit file. The main unit of a service comes after its other units.

    `secrets` are the secret environments by service. Only their names are used.
    """
    items = []
    for service in services:
        if service["state"] != "present":
            continue
        for unit in reversed(service["units"]):
            own = {key: unit[key] for key in ("unit", "environment_file", "served", "environment", "own_folders")}
            items.append({**service, **own, "supervised": unit, "words": command(unit, secrets.get(service["name"], {}))})
    return items


def unit_environments(
    services: t.Sequence[Service], secrets: t.Mapping[str, t.Mapping[str, str]], tokens: t.Mapping[str, str]
) -> list[dict[str, str]]:
    """Return the environment file of each unit of the present services, as the module `service_state` takes them.

    Ray's units get only the token of their service. `tokens` are the tokens of multi-node services.
    """
    found = []
    for service in services:
        if service["state"] == "present":
            own = dict(secrets.get(service["name"], {}))
            for unit in reversed(service["units"]):
                token = {"SUPERVISOR_TOKEN": tokens.get(service["name"], "")} if service["node"] else {}
                found.append(_environment(service["name"], unit, {**(own if unit["has_secrets"] else {}), **token}))
    return found


def _environment(name: str, unit: Service, values: t.Mapping[str, str]) -> dict[str, str]:
    head = f"# Managed by inferops.gpu (role model_service). Secrets of service {name}: readable by root alone.\n"
    return {"unit": unit["unit"], "path": unit["environment_file"], "content": base64.b64encode(f"{head}{environment_file(values)}\n".encode()).decode()}


def command(unit: Service, secrets: t.Mapping[str, str]) -> list[str]:
    """Return the command of a unit: the supervisor, the names of variables that it does not send to other hosts, and the supervised command."""
    is_sent = unit["has_secrets"] and "RAY_ADDRESS" in unit["environment"]
    withheld = [f"--withhold={name}" for name in sorted(secrets)] if is_sent else []
    if is_sent and not withheld:
        # Without any name the supervisor would not keep the token on this host.
        withheld = ["--withhold=VLLM_API_KEY"]
    return [*unit["supervisor"], *withheld, "--", *unit["command"]]


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"unit_items": unit_items, "unit_environments": unit_environments}
