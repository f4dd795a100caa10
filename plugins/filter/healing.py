# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the restart of services that hang. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

Row = t.Mapping[str, t.Any]


def heal_checks(services: t.Sequence[Row], secrets: t.Mapping[str, t.Mapping[str, str]]) -> list[dict[str, t.Any]]:
    """Return the services as the module `service_heal` takes them."""
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
    """Return, by service, why it still does not answer. Services that passed the health gate after their restart are left out."""
    found = {}
    for name, error in failing.items():
        state = healed["states"].get(name, {})
        if name in healed["restarted"]:
            if name in gate:
                found[name] = f"Service {name} hung ({state['why']}), was restarted once and failed the health gate:\n{gate[name]}"
        elif state.get("state") == "busy":
            found[name] = (
                f"{error}\nIt was not restarted: its engine is busy, and requests wait in its queue. Fix: run again when the load is lower, increase "
                "verify_timeout (seconds), or give the service more GPUs."
            )
        elif state.get("state") == "answers":
            found[name] = f"{error}\nIt was not restarted, since a restart would not help: {state['why']}."
        elif state.get("state") == "unknown":
            found[name] = (
                f"{error}\nIt was not restarted, since the run cannot determine whether it hangs: {state['why']}. Fix: restart its unit with systemctl if it "
                "hangs, or increase verify_timeout (seconds). If vllm_args has disable_log_stats, remove it: the check needs vLLM's counters."
            )
        else:
            found[name] = f"{error}\nIt was not restarted: its supervisor restarts a multi-node service (systemctl status on the head)."
    return found


def heal_lines(failing: t.Mapping[str, str], healed: Row, still: t.Mapping[str, str]) -> list[str]:
    """Return a line for each service that was restarted, with the reason and the result."""
    return [
        f"{name} was restarted: {healed['states'][name]['why']}; it {'failed' if name in still else 'passed'} the health gate"
        for name in failing if name in healed["restarted"]
    ]


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"heal_checks": heal_checks, "heal_errors": heal_errors, "heal_lines": heal_lines}
