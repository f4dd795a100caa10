# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for rolling changes of services with several replicas. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

Service = t.Mapping[str, t.Any]


def batch_size(max_unavailable: int | str, replicas: int) -> int:
    """Return how many of these replicas change at the same time: a number, or a percentage of them, rounded down, at least one."""
    text = str(max_unavailable).strip()
    return max(1, replicas * int(text[:-1]) // 100) if text.endswith("%") else max(1, int(text))


def restarting_services(services: t.Sequence[Service], wanted: t.Mapping[str, t.Any]) -> list[str]:
    """Return the services of which a unit would restart, or a running one would be replaced by other units. `wanted` is the result of `service_state`."""
    ends = {*wanted["restarts"], *wanted["stops"]}
    return [
        service["name"] for service in services
        if service["state"] == "present" and any(unit["unit"] in ends for unit in service["unit_states"])
    ]


def standing_replicas(services: t.Sequence[Service], restarting: t.Mapping[str, t.Collection[str]], host: str) -> list[str]:
    """Return the services of a host that do not restart, while other replicas of them do: they have to serve meanwhile.

    `restarting` are the services that restart, by host.
    """
    return [
        service["name"] for service in services
        if service["name"] not in restarting.get(host, ()) and any(service["name"] in restarting.get(one, ()) for one in service.get("replicas", ()))
    ]


def rollout_steps(
    services: t.Sequence[Service], restarting: t.Mapping[str, t.Collection[str]], hosts: t.Sequence[str], host: str, max_unavailable: int | str,
    alone: t.Collection[str] = (), unavailable: t.Collection[str] = (),
) -> dict[str, dict[str, t.Any]]:
    """Return, by service of a host that restarts as one of several replicas, the step in which it changes, and the order of all of them.

    `restarting` are the services that restart, by host, and `hosts` are those of the run that have not failed. Services in `alone` change in the first
    step if no other replica of them restarts. Hosts in `unavailable` have failed, or cannot be reached: their replicas may not serve, so that fewer of the
    others may change at the same time. If none may, the service has a reason (`why`).
    """
    found: dict[str, dict[str, t.Any]] = {}
    for service in services:
        name = service["name"]
        replicas = [one for one in service.get("replicas", []) if one in hosts or one in unavailable]
        down = [one for one in replicas if one in unavailable]
        order = [one for one in replicas if name in restarting.get(one, ()) and one not in down]
        if host in order and len(replicas) > 1:
            size = batch_size(max_unavailable, len(replicas)) - len(down)
            step = order.index(host) // max(1, size)
            found[name] = {"step": step, "steps": -(-len(order) // max(1, size)), "order": order}
            if size < 1:
                found[name]["why"] = (
                    f"{', '.join(down)} failed before it began or cannot be reached, so that its replica may not serve. "
                    "Fix: mend that, or leave the host out with -l"
                )
        elif name in alone:
            found[name] = {"step": 0, "steps": 1, "order": [host]}
    return found


def stopped_rollouts(steps: t.Mapping[str, t.Mapping[str, t.Any]], hosts: t.Collection[str]) -> dict[str, str]:
    """Return, by service, why its rollout stops: a replica of it has failed meanwhile, or it may not begin. `hosts` are those that have not failed."""
    refused = {name: found["why"] for name, found in steps.items() if found.get("why")}
    failed = {name: [host for host in found["order"] if host not in hosts] for name, found in steps.items()}
    return {**{name: f"the change failed on {', '.join(gone)}" for name, gone in failed.items() if gone}, **refused}


def rollout_report(
    stopped: t.Mapping[str, str], steps: t.Mapping[str, t.Mapping[str, t.Any]], changed: t.Collection[str], outcomes: t.Mapping[str, Service],
    errors: t.Mapping[str, str],
) -> str:
    """Return the report of a host on rollouts that stopped; empty if none did.

    `changed` are the services that this host had changed before, `outcomes` those of `service_last_known_good` for them, and `errors` those of the health
    gate after the return.
    """
    parts = []
    for name, why in stopped.items():
        if name not in changed:
            now = "This host keeps its previous state."
        elif name in errors:
            now = f"This host had been changed before, and the state before that change fails too: {errors[name]}"
        elif outcomes.get(name, {}).get("action") == "restored":
            now = f"This host had been changed before, and went back to its previous state, release {outcomes[name]['release']}."
        else:
            now = f"This host had been changed before, and keeps the change: {outcomes.get(name, {}).get('why', 'its previous state is unknown')}."
        parts.append(f"Rollout of service {name} ({', '.join(steps[name]['order'])}) stopped: {why}. {now}")
    return "\n".join(parts)


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "restarting_services": restarting_services, "standing_replicas": standing_replicas, "rollout_steps": rollout_steps,
            "stopped_rollouts": stopped_rollouts, "rollout_report": rollout_report,
        }
