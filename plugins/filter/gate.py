# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that read the results of the health gate, and put them into words. Documented in the .yml files beside this one."""

from __future__ import annotations

import re
import textwrap
import typing as t

Result = t.Mapping[str, t.Any]

RESTORED = ("unit", "environment_file", "served", "own_folders")
RECORDED = ("unit", "environment_file", "served")
# The same for all units of a service.
RELEASED = ("release", "release_path", "weights_path")

# What the supervisor of a multi-node service says of NCCL's transport (complaint() in module_utils/supervisor/transport.py).
WRONG_TRANSPORT = re.compile(r"NCCL uses .+, and the inventory expects \S+")


def gate_errors(followed: t.Sequence[Result], asked: Result) -> dict[str, str]:
    """Return, by service, why it did not pass: its start failed, its hosts talk by another network than they should, or it answered wrongly.

    `followed` are the results of the loop over `follow_unit`, `asked` the result of `api_check` (empty where nothing was asked).
    """
    starts = {result["item"]["name"]: result["error"] for result in followed if result.get("error")}
    for result in followed:
        found = WRONG_TRANSPORT.search(result.get("status", ""))
        if found:
            fix_of = "See that the RDMA devices are up and reach each other, or write transport: tcp, which is many times slower"
            starts[result["item"]["name"]] = f"{found[0]}. {fix_of}."
    return {**starts, **asked.get("errors", {})}


def passed_units(services: t.Sequence[Result], errors: t.Mapping[str, str], as_planned: bool = True) -> list[dict[str, t.Any]]:
    """Return what `service_last_known_good` has to know of the units of services that passed, to record them.

    `as_planned` is whether they run what the plan says. A service that was rolled back tells nothing about its arguments in the plan.
    """
    return [
        {
            "name": service["name"], **{key: unit[key] for key in RECORDED}, **{key: service[key] for key in RELEASED},
            "arguments": {"stamp": service["arguments_stamp"], "digest": service["digest"]} if as_planned else None,
        }
        for service in services if service["name"] not in errors for unit in reversed(service["units"] or [service])
    ]


def failed_units(services: t.Sequence[Result], errors: t.Mapping[str, str]) -> list[dict[str, t.Any]]:
    """Return what `service_last_known_good` has to know of the units of services that failed, to restore them."""
    items = []
    for service in services:
        if service["name"] in errors:
            units = service["units"] or [service]
            # What stands beside the engine first; outcomes go by the service's name for the unit that stands for it.
            items += [{"name": f"{service['name']} ({unit['unit']})", **{key: unit[key] for key in RESTORED}} for unit in reversed(units[1:])]
            items.append({"name": service["name"], **{key: units[0][key] for key in RESTORED}})
    return items


def unchanged_errors(errors: t.Mapping[str, str], outcomes: t.Mapping[str, Result]) -> dict[str, str]:
    """Return the errors of services that run their last known good state as it stands. There is nothing to restore, and it may well be that they hang."""
    return {name: error for name, error in errors.items() if outcomes.get(name, {}).get("action") == "unchanged"}


def gate_report(
    errors: t.Mapping[str, str], outcomes: t.Mapping[str, Result], services: t.Sequence[Result], again: t.Mapping[str, str],
    restarted: t.Collection[str] = (), still: t.Mapping[str, str] | None = None,
) -> str:
    """Return the text for people: for each service that failed why, and how it stands now; empty where all of them serve by now.

    `outcomes` are those of `service_last_known_good`; `again` are the errors of restored services, on their way through the gate. Those `restarted`
    because they hung, and not restored, have failed only if they `still` do.
    """
    planned = {service["name"]: service for service in services}
    left = {**{name: error for name, error in errors.items() if name not in restarted}, **(still or {})}
    parts = []
    for name, error in left.items():
        now = standing(name, planned[name], outcomes.get(name, {}), again.get(name, ""))
        parts.append(f"Service {name} did not pass its gate on release {planned[name]['release']}. {now}\n{textwrap.indent(error, '  ')}")
    return "\n\n".join(parts)


def standing(name: str, service: Result, outcome: Result, error: str) -> str:
    """Return how a service stands after it was tried to go back."""
    action = outcome.get("action")
    if action == "restored":
        before = f"It went back to what served before, release {outcome['release']} as of {outcome['kept']},"
        if error:
            return f"{before} which does not pass either; systemd goes on trying.\n  Going back:\n{textwrap.indent(error, '    ')}\n  The change:"
        return f"{before} and is healthy again. The next run tries the change again."
    if action == "stopped":
        return f"There is nothing to go back to: {outcome['why']}. It was stopped and disabled ({service['unit']}); the next run starts it again."
    why = outcome.get("why", "nothing is known of its former state")
    # Which starts again what ends, and nothing that hangs.
    return f"It was left as it is: {why}. systemd starts it again whenever it ends (systemctl status {service['unit']})."


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "gate_errors": gate_errors, "passed_units": passed_units, "failed_units": failed_units, "unchanged_errors": unchanged_errors,
            "gate_report": gate_report,
        }
