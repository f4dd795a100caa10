# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that return the result of a run as data. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

Row = t.Mapping[str, t.Any]

# States of a service.
SERVING = "serving"
# This run has not verified it.
UNVERIFIED = "unverified"
# In check mode.
PLANNED = "planned"
REMOVED = "removed"
# It still runs its previous configuration, since model_service_restart is false. The item describes the plan's configuration.
HELD = "held"


def service_outcomes(services: t.Sequence[Row], actions: t.Mapping[str, str], followed: Row, asked: Row) -> dict[str, dict[str, t.Any]]:
    """Return, by service, the action on its unit, and the seconds from the action to a completed answer (None if it was not started).

    `actions` are those of `service_state` by unit, `followed` has the results of `follow_unit` or `follow_units`, `asked` is that of `api_check`. The
    last two are empty if the health gate did not run. Of a service that was followed twice, the last start counts.
    """
    starts = {result["item"]["name"]: result["seconds"] for result in followed.get("results", [])}
    answers = {name: answer["seconds"] for name, answer in asked.get("answers", {}).items()}
    return {
        service["name"]: {
            "action": actions[service["unit"]],
            "seconds": round(starts[service["name"]] + answers.get(service["name"], 0), 1) if service["name"] in starts else None,
        }
        for service in services
    }


def run_result(hosts: t.Sequence[str], variables: t.Mapping[str, Row], check_mode: bool) -> list[dict[str, t.Any]]:
    """Return an item for each service of the hosts: its endpoint, model and release, and the action of the run. `hosts` have not failed.

    `variables` are `hostvars`. Of these the filter reads `plan_host`, `model_service_outcomes` and `verify_result`, none of which contains secrets.
    With `--tags` some of them may be missing.
    """
    return [row for host in hosts for row in _rows(host, variables[host], check_mode)]


def _rows(host: str, variables: Row, check_mode: bool) -> t.Iterator[dict[str, t.Any]]:
    outcomes = _of(variables, "model_service_outcomes")
    answers = _of(_of(variables, "verify_result"), "answers")
    for service in _of(variables, "plan_host").get("services", []):
        outcome = outcomes.get(service["name"], {})
        absent = service["state"] == "absent"
        # A multi-node service is listed on the host with its API only, an absent service only if this run has handled it.
        if not outcome if absent else not service["url"]:
            continue
        action = outcome.get("action", "none")
        yield {
            "service": service["name"],
            "host": host,
            "state": PLANNED if check_mode else REMOVED if absent else HELD if action == HELD else SERVING if service["name"] in answers else UNVERIFIED,
            "endpoint": None if absent else f"{service['url']}/v1",
            "model": service.get("served_model_name"),
            "catalogue": service.get("model"),
            "repo": service.get("repo"),
            "revision": service.get("revision"),
            "release": service.get("release"),
            "action": action,
            "changed": action not in ("none", HELD),
            "seconds_to_ready": outcome.get("seconds"),
            "tokens_per_second": _rate(answers.get(service["name"], {})),
        }


def _rate(answer: Row) -> float | None:
    """Return the tokens per second of a verification; None if the task generates no tokens."""
    tokens, seconds = answer.get("tokens"), answer.get("seconds")
    return round(tokens / seconds, 1) if tokens and seconds else None


def _of(variables: Row, name: str) -> t.Any:
    """Return a dictionary among a host's variables; empty if the run has not set it."""
    return variables[name] if name in variables else {}


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"service_outcomes": service_outcomes, "run_result": run_result}
