# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for orphaned units: units of a service that is no longer in the inventory. Documented in the .yml files beside this one."""

from __future__ import annotations

import types
import typing as t

Row = t.Mapping[str, t.Any]


def orphaned_names(units: t.Sequence[Row], services: t.Any) -> list[str]:
    """Return the names of services that have units on a host and are not in `model_services`, neither present nor absent."""
    rows = services if isinstance(services, (list, tuple)) else []
    known = {row.get("name") for row in rows if isinstance(row, t.Mapping)}
    return sorted({unit["service"] for unit in units} - known)


def orphaned_units(names: t.Sequence[str], settings: Row) -> list[dict[str, t.Any]]:
    """Return the units of services that are in no plan, as the module `service_state` takes them for the removal.

    `settings` are `host_config_dir`, `host_state_dir`, `host_cache_dir`, `multi_node_ray_temp_dir` and `model_service_account_prefix`.
    """
    # Imported here, because they import most of the plan, and Ansible loads all filters of a collection for each task that uses any of them.
    from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.services import Service
    from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.settings.accounts import account_name
    from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.placement import node_units

    host = t.cast(t.Any, types.SimpleNamespace(settings=types.SimpleNamespace(**settings)))
    found = []
    for name in names:
        rows = node_units.other_units(host, Service(label=name, name=name))
        last = {"cache": f"{settings['host_cache_dir']}/{name}", "account": account_name(settings["model_service_account_prefix"], name)}
        found += [{**row, "state": "absent", **(last if row is rows[-1] else {})} for row in rows]
    return found


def orphaned_comments(names: t.Sequence[str]) -> list[str]:
    """Return the comments of the firewall rules for these services only."""
    return [f"inferops: {kind} {name}" for name in names for kind in ("api", "green", "peer")]


def orphaned_lines(units: t.Sequence[Row], services: t.Any) -> list[str]:
    """Return a line for each orphaned unit, with its state, its GPUs and its port."""
    names = orphaned_names(units, services)
    lines = []
    for unit in units:
        if unit["service"] in names:
            gpus = "GPUs unknown" if unit["gpus"] is None else f"GPUs {', '.join(map(str, unit['gpus']))}"
            port = f", port {unit['port']}" if unit["port"] else ""
            lines.append(f"{unit['unit']}: {unit['active']}, {unit['enabled'] or 'not enabled'}, {gpus}{port}; remove.yml -e remove_service={unit['service']}")
    return lines


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"orphaned_names": orphaned_names, "orphaned_units": orphaned_units, "orphaned_comments": orphaned_comments, "orphaned_lines": orphaned_lines}
