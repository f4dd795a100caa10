# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for blue/green updates. Documented in the .yml files beside this one."""

from __future__ import annotations

import textwrap
import typing as t

Service = t.Mapping[str, t.Any]


def green_services(services: t.Sequence[Service]) -> list[dict[str, t.Any]]:
    """Return the services of which the plan has a temporary unit, as this unit runs them."""
    return [{**service, **service["green"]["service"]} for service in services if (service.get("green") or {}).get("service")]


def green_units(services: t.Sequence[Service]) -> list[str]:
    """Return the temporary units that deployed services may have. Multi-node services have none."""
    # Imported here: Ansible loads all filters of a collection for each task that uses any of them.
    from ansible_collections.inferops.gpu.plugins.module_utils import _green

    return [_green.unit_of(service["name"]) for service in services if not service["multi_node"]]


def green_report(errors: t.Mapping[str, str], services: t.Sequence[Service]) -> str:
    """Return the report on new engines that failed beside the old one; empty if none did."""
    planned = {service["name"]: service for service in services}
    return "\n\n".join(
        f"The new engine of service {name}, release {planned[name]['release']}, was not put into service. It was removed, and the service keeps its previous "
        f"state. The next run tries the change again.\n{textwrap.indent(error, '  ')}" for name, error in errors.items()
    )


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"green_services": green_services, "green_units": green_units, "green_report": green_report}
