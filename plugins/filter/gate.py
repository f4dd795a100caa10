# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that read the results of the health gate and write its report. Documented in the .yml files beside this one."""

from __future__ import annotations

import re
import textwrap
import typing as t

Result = t.Mapping[str, t.Any]

RESTORED = ("unit", "environment_file", "served", "own_folders")
RECORDED = ("unit", "environment_file", "served")
# The same for all units of a service.
RELEASED = ("release", "release_path", "weights_path")

# The supervisor's message when NCCL uses another transport than planned (complaint() in module_utils/supervisor/transport.py).
WRONG_TRANSPORT = re.compile(r"NCCL uses .+, and the inventory expects \S+")


def gate_errors(followed: t.Sequence[Result], asked: Result) -> dict[str, str]:
    """Return, by service, why it failed the health gate: its unit did not start, NCCL uses the wrong transport, or the API did not answer correctly.

    `followed` are the results of the loop over `follow_unit`, or of `follow_units`; `asked` is the result of `api_check` (empty if no service was queried).
    """
    starts = {result["item"]["name"]: result["error"] for result in followed if result.get("error")}
    for result in followed:
        found = WRONG_TRANSPORT.search(result.get("status", ""))
        if found:
            fix_of = "Fix: check that the RDMA devices are up and reach each other, or set transport: tcp, which is many times slower"
            starts[result["item"]["name"]] = f"{found[0]}. {fix_of}."
    return {**starts, **asked.get("errors", {})}


def passed_units(services: t.Sequence[Result], errors: t.Mapping[str, str], as_planned: bool = True) -> list[dict[str, t.Any]]:
    """Return the units of services that passed, as `service_last_known_good` takes them to record their state.

    `as_planned` is whether they run the plan's configuration. After a rollback a service does not use the plan's arguments, so none are recorded.
    """
    return [
        {
            "name": service["name"], **{key: unit[key] for key in RECORDED}, **{key: service[key] for key in RELEASED},
            "arguments": {"stamp": service["arguments_stamp"], "digest": service["digest"]} if as_planned else None,
            # No rollback returns to these. After one they are what serves.
            "former": [{key: former[key] for key in ("served", "folders")} for former in service["former_units"]] if as_planned else [],
        }
        for service in services if service["name"] not in errors for unit in reversed(service["units"])
    ]


def failed_units(services: t.Sequence[Result], errors: t.Mapping[str, str]) -> list[dict[str, t.Any]]:
    """Return the units of services that failed, as `service_last_known_good` takes them to restore their state."""
    items = []
    for service in services:
        if service["name"] in errors:
            units = service["units"]
            # The main unit comes last. Only its item has the service's name, by which the outcomes are looked up.
            items += [{"name": f"{service['name']} ({unit['unit']})", **{key: unit[key] for key in RESTORED}} for unit in reversed(units[1:])]
            items.append({"name": service["name"], **{key: units[0][key] for key in RESTORED}})
    return items


def as_restored(services: t.Sequence[Result], outcomes: t.Mapping[str, Result]) -> list[dict[str, t.Any]]:
    """Return services with the units that they have after a rollback to another backend or role, which their outcomes name, the main unit first.

    They have no URL: the plan knows that of its own configuration. A unit is active when its supervisor has had a real answer from the engine.
    """
    found = []
    for service in services:
        names = outcomes.get(service["name"], {}).get("units", [])
        known = {unit["unit"]: unit for unit in (*service.get("units", []), *service.get("former_units", [])) if isinstance(unit, t.Mapping)}
        units = [known.get(name, name) for name in names]
        found.append({**service, **({"unit": names[0], "units": units, "url": None, "local_url": None} if names else {})})
    return found


def unchanged_errors(errors: t.Mapping[str, str], outcomes: t.Mapping[str, Result]) -> dict[str, str]:
    """Return the errors of services that already run their last known good state. There is nothing to restore, and they may hang."""
    return {name: error for name, error in errors.items() if outcomes.get(name, {}).get("action") == "unchanged"}


def gate_report(
    errors: t.Mapping[str, str], outcomes: t.Mapping[str, Result], services: t.Sequence[Result], again: t.Mapping[str, str],
    restarted: t.Collection[str] = (), still: t.Mapping[str, str] | None = None,
) -> str:
    """Return the report: the error and the present state of each service that failed; empty if all services are healthy now.

    `outcomes` are those of `service_last_known_good`. `again` are the errors of restored services in the second run of the health gate. A service
    in `restarted` hung and was restarted instead of restored; it is reported only if it is in `still`.
    """
    planned = {service["name"]: service for service in services}
    left = {**{name: error for name, error in errors.items() if name not in restarted}, **(still or {})}
    parts = []
    for name, error in left.items():
        now = standing(name, planned[name], outcomes.get(name, {}), again.get(name, ""))
        parts.append(f"Service {name} failed the health gate on release {planned[name]['release']}. {now}\n{textwrap.indent(error, '  ')}")
    return "\n\n".join(parts)


def standing(name: str, service: Result, outcome: Result, error: str) -> str:
    """Return the state of a service after the rollback."""
    action = outcome.get("action")
    if action == "restored":
        before = f"It was rolled back to its last known good state, release {outcome['release']} of {outcome['kept']},"
        if error:
            error = textwrap.indent(error, "    ")
            return f"{before} which fails too; systemd keeps restarting it.\n  Error after the rollback:\n{error}\n  Error of the change:"
        return f"{before} and is healthy again. The next run tries the change again."
    if action == "stopped":
        return f"It cannot be rolled back: {outcome['why']}. It was stopped and disabled ({service['unit']}); the next run starts it again."
    why = outcome.get("why", "its last known good state is unknown")
    # systemd restarts a service that exits, but not one that hangs.
    return f"It was not rolled back: {why}. systemd restarts it whenever it exits (systemctl status {service['unit']})."


def units_to_follow(services: t.Sequence[Result]) -> list[dict[str, t.Any]]:
    """Return the main units of services as `follow_units` takes them."""
    return [
        {"name": service["name"], "unit": service["unit"], "label": f"Start of {service['name']}", "timeout": service["timeouts"]["start"] + 60}
        for service in services
    ]


def next_round(before: Result, followed: Result, asked: Result, errors: t.Mapping[str, str], rollback: Result) -> dict[str, t.Any]:
    """Return the state of a health gate of several services after a round, in which some of them have started or failed.

    `followed` is the result of `follow_units`, `asked` that of `api_check`, `errors` are those of `gate_errors` for this round, and `rollback` is the result
    of `service_last_known_good` for services that failed and had not been rolled back before. The state has the keys

    - `waiting`: units that `follow_units` follows next;
    - `returned`: services that were rolled back;
    - `errors` and `again`: errors by service, of the change and after the rollback;
    - `outcomes`: of the rollback, by service;
    - `followed` and `answers`: all results so far.
    """
    restored = rollback.get("restored", [])
    # A service that was rolled back starts once more, and has all of its time again.
    units = {name: outcome["units"][0] for name, outcome in rollback.get("outcomes", {}).items() if outcome.get("units")}
    starting = [
        {**item, "unit": units.get(item["name"], item["unit"]), "seconds": 0.0, "restarts": -1}
        for item in (result["item"] for result in followed["results"]) if item["name"] in restored
    ]
    first = {name: error for name, error in errors.items() if name not in before["returned"]}
    return {
        "waiting": [*followed["waiting"], *starting],
        "returned": [*before["returned"], *restored],
        "errors": {**before["errors"], **first},
        "again": {**before["again"], **{name: error for name, error in errors.items() if name not in first}},
        "outcomes": {**before["outcomes"], **rollback.get("outcomes", {})},
        "followed": [*before["followed"], *followed["results"]],
        "answers": {**before["answers"], **asked.get("answers", {})},
    }


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "gate_errors": gate_errors, "passed_units": passed_units, "failed_units": failed_units, "as_restored": as_restored,
            "unchanged_errors": unchanged_errors,
            "gate_report": gate_report, "next_round": next_round, "units_to_follow": units_to_follow,
        }
