# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for playbooks that operate services as they are on their hosts, without a plan. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

Row = t.Mapping[str, t.Any]


def deployed_services(units: t.Sequence[Row], name: str = "all") -> list[dict[str, t.Any]]:
    """Return the services of a host, or the one with a name, from the facts about its units: C(name), its main C(unit), all C(units), C(multi_node)."""
    found: dict[str, list[Row]] = {}
    for unit in units:
        if name in ("all", unit["service"]):
            found.setdefault(unit["service"], []).append(unit)
    return [
        {
            "name": service,
            # The engine's unit, which starts last; on a worker Ray's.
            "unit": min((row["unit"] for row in rows), key=lambda unit: not unit.startswith("vllm-")),
            "units": sorted((row["unit"] for row in rows), key=lambda unit: unit.startswith("vllm-")),
            "multi_node": any(row["multi_node"] for row in rows),
        }
        for service, rows in found.items()
    ]


def with_replicas(services: t.Sequence[Row], others: t.Mapping[str, t.Sequence[Row]]) -> list[dict[str, t.Any]]:
    """Return services with the hosts of their C(replicas). C(others) are the services of each host of the run, in the order of the inventory."""
    return [
        {
            **service,
            "replicas": [] if service["multi_node"] else
            [host for host, found in others.items() if any(one["name"] == service["name"] and not one["multi_node"] for one in found)],
        }
        for service in services
    ]


def revertible_units(services: t.Sequence[Row], state_dir: str, config_dir: str) -> list[dict[str, t.Any]]:
    """Return the units of services as M(inferops.gpu.service_last_known_good) takes them. The main unit, which comes last, has the service's name."""
    # Imported here, because Ansible loads all filters of a collection for each task that uses any of them.
    from ansible_collections.inferops.gpu.plugins.module_utils._former_units import INFIXES

    items = []
    for service in services:
        for unit in sorted(service["units"], key=lambda unit: unit == service["unit"]):
            name = service["name"] + next(infix for prefix, infix in INFIXES.items() if unit.startswith(prefix))
            items.append({
                "name": service["name"] if unit == service["unit"] else f"{service['name']} ({unit})", "unit": unit,
                "environment_file": f"{config_dir}/{name}.env", "served": f"{state_dir}/served/{name}.json",
            })
    return items


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"deployed_services": deployed_services, "with_replicas": with_replicas, "revertible_units": revertible_units}
