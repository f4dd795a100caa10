# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that give the result of a run as data. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

Row = t.Mapping[str, t.Any]

# What a service may be.
SERVING = "serving"
# This run has not asked it for an answer.
UNVERIFIED = "unverified"
# Of check mode.
PLANNED = "planned"
REMOVED = "removed"
# It runs what it ran before: model_service_restart is false. The row tells what the plan wants.
HELD = "held"


def service_outcomes(services: t.Sequence[Row], actions: t.Mapping[str, str], followed: Row, asked: Row) -> dict[str, dict[str, t.Any]]:
    """Return, by service, the action that was taken on its unit, and the seconds from there to a completed answer (None where it was not started).

    `actions` are those of `service_state` by unit, `followed` the result of the loop over `follow_unit`, `asked` that of `api_check`; the last two
    are empty where no service had to go through its gate.
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
    """Return a row for each service of the hosts, which are those that have not failed: where it serves, what, and what the run did to it.

    `variables` are `hostvars`. Of them the plan (`plan_host`), `model_service_outcomes` and `verify_result` are read; a run of some tags alone
    has not all of them. Secrets are in none.
    """
    return [row for host in hosts for row in _rows(host, variables[host], check_mode)]


def _rows(host: str, variables: Row, check_mode: bool) -> t.Iterator[dict[str, t.Any]]:
    outcomes = _of(variables, "model_service_outcomes")
    answers = _of(_of(variables, "verify_result"), "answers")
    for service in _of(variables, "plan_host").get("services", []):
        outcome = outcomes.get(service["name"], {})
        absent = service["state"] == "absent"
        # Of several hosts the one that answers stands for the service; what is absent and was not looked at is no result.
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
    """Return the tokens per second of a verification; None of a task that makes no tokens."""
    tokens, seconds = answer.get("tokens"), answer.get("seconds")
    return round(tokens / seconds, 1) if tokens and seconds else None


def _of(variables: Row, name: str) -> t.Any:
    """Return a mapping of a host's variables; empty where the run did not come to it."""
    return variables[name] if name in variables else {}


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"service_outcomes": service_outcomes, "run_result": run_result}
