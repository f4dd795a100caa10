# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters around the restart of services that hang. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

Row = t.Mapping[str, t.Any]


def heal_checks(services: t.Sequence[Row], secrets: t.Mapping[str, t.Mapping[str, str]]) -> list[dict[str, t.Any]]:
    """Return what the `service_heal` module has to know of services."""
    return [
        {
            "name": service["name"],
            "unit": service["unit"],
            "environment_file": service["environment_file"],
            "url": service["local_url"],
            "model": service["served_model_name"],
            "task": service["task"],
            "api_key": secrets[service["name"]].get("VLLM_API_KEY", ""),
        }
        for service in services
    ]


def heal_errors(failing: t.Mapping[str, str], healed: Row, gate: t.Mapping[str, str]) -> dict[str, str]:
    """Return, by service, why it still does not answer; without those that were restarted and have passed their gate."""
    found = {}
    for name, error in failing.items():
        state = healed["states"].get(name, {})
        if name in healed["restarted"]:
            if name in gate:
                found[name] = f"Service {name} hung ({state['why']}), was restarted once and does not pass its gate:\n{gate[name]}"
        elif state.get("state") == "busy":
            found[name] = (
                f"{error}\nIt was not restarted: its engine is at work, and requests wait their turn. Run again when there is less to do, give it more time "
                "(verify_timeout, in seconds), or more GPUs."
            )
        elif state.get("state") == "answers":
            found[name] = f"{error}\nIt was not restarted, since a restart would not help. Asked on its own host: {state['why']}."
        elif state.get("state") == "unknown":
            found[name] = (
                f"{error}\nIt was not restarted, since it cannot be told whether it hangs: {state['why']}. Fix: restart its unit with systemctl if it does, or "
                "give it more time (verify_timeout, in seconds). If vllm_args has disable_log_stats, leave it out: then its counters tell."
            )
        else:
            found[name] = f"{error}\nIt was not restarted: a multi-node service is restarted by its supervisor (systemctl status on the head)."
    return found


def heal_lines(failing: t.Mapping[str, str], healed: Row, still: t.Mapping[str, str]) -> list[str]:
    """Return a line for each service that was restarted: why, and what came of it."""
    return [
        f"{name} was restarted: {healed['states'][name]['why']}; " + ("it does not pass its gate" if name in still else "it passes its gate again")
        for name in failing if name in healed["restarted"]
    ]


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"heal_checks": heal_checks, "heal_errors": heal_errors, "heal_lines": heal_lines}
