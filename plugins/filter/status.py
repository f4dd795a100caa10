# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for C(playbooks/status.yml). Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

Item = t.Mapping[str, t.Any]


def service_states(services: t.Any) -> list[dict[str, str]]:
    """Return name and state of each service of an inventory, and nothing else: services have secrets."""
    rows = services if isinstance(services, (list, tuple)) else []
    named = [row for row in rows if isinstance(row, t.Mapping) and isinstance(row.get("name"), str)]
    return [{"name": str(row["name"]), "state": "absent" if row.get("state") == "absent" else "present"} for row in named]


def status_document(names: t.Sequence[str], variables: t.Mapping[str, Item], plan: t.Any, service: t.Any = "") -> dict[str, t.Any]:
    """Return the state of the services of these hosts as data. `variables` are `hostvars`, `plan` is the result of the plan."""
    # Imported here: Ansible loads all filters of a collection for each task that uses any of them.
    from ansible_collections.inferops.gpu.plugins.plugin_utils.status import document, hosts

    planned: Item = plan if isinstance(plan, t.Mapping) else {}
    # Hosts without services have left the play, and have no result.
    read = [name for name in names if "__status_read" in variables[name]]
    found = [hosts.host_of(name, variables[name], planned.get("hosts") or {}) for name in read]
    return document.build(found, planned, str(service or ""))


def status_lines(found: Item) -> list[str]:
    """Return the state as lines for people."""
    from ansible_collections.inferops.gpu.plugins.plugin_utils.status import table

    return table.lines(found)


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"service_states": service_states, "status_document": status_document, "status_lines": status_lines}
