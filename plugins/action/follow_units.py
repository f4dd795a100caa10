# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""Wait until one of several units of a host has finished. Documented in plugins/modules/follow_units.py."""

import os
import time
import typing as t

from pathlib import Path

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.inferops.gpu.plugins.action.follow_unit import LOOK_SECONDS, describe, failure, lines_of, marker, result_of

display = Display()

_UNIT = {
    "name": {"type": "str", "required": True}, "unit": {"type": "str", "required": True}, "label": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 3600}, "seconds": {"type": "float", "default": 0.0}, "restarts": {"type": "int", "default": -1},
}
Row = t.Dict[str, t.Any]


class ActionModule(ActionBase):
    """Poll M(inferops.gpu.unit_status) for all units in one call each time."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: Row | None = None) -> Row:
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "units": {"type": "list", "elements": "dict", "required": True, "options": _UNIT}, "lines": {"type": "int", "default": 30},
            },
        )
        if self._task.check_mode:
            return {"skipped": True, "changed": False, "msg": "no unit is followed in check mode"}

        parent = os.getppid()
        start = time.monotonic()
        host = task_vars.get("inventory_hostname", "")
        next_line = lines_of(host, task_vars.get("ansible_play_batch") or [host])
        # Units that an earlier call has followed have had their first line.
        quiet_until = start + (next_line(0.0) if all(unit["seconds"] for unit in arguments["units"]) else 0)
        restarts = {unit["unit"]: unit["restarts"] for unit in arguments["units"]}
        while True:
            found = self._look(restarts, arguments["lines"], task_vars)
            if found.get("failed"):
                return found
            statuses = found["units"]
            restarts = {name: before if before >= 0 else statuses[name].get("restarts", -1) for name, before in restarts.items()}
            seconds = time.monotonic() - start
            units = [{**unit, "seconds": unit["seconds"] + seconds, "restarts": restarts[unit["unit"]]} for unit in arguments["units"]]
            if os.getppid() != parent:
                results = [_stopped(unit) for unit in units]
            else:
                results = [result for result in (_result(unit, statuses[unit["unit"]], arguments["lines"]) for unit in units) if result]
            ended = [result["item"]["name"] for result in results]
            waiting = [unit for unit in units if unit["name"] not in ended]
            # Ansible waits for all hosts before the next task. So the task ends on all of them if one has to go on: with a unit that has failed, or with
            # units that nobody watches meanwhile.
            one_goes_on = Path(marker(self._task, ""))
            if any(result.get("error") for result in results) or (results and waiting):
                one_goes_on.touch()
            if results or one_goes_on.exists():
                return {"changed": False, "results": results, "waiting": waiting}
            if time.monotonic() >= quiet_until:
                for unit in units:
                    display.display(f"  {host}: {unit['label']}: {describe(statuses[unit['unit']])} ({unit['seconds']:.0f} s)")
                quiet_until = start + next_line(time.monotonic() - start)

    def _look(self, restarts: t.Mapping[str, int], lines: int, task_vars: Row) -> Row:
        """Read the units' status once. A lost connection is not a failure: the status is then unknown."""
        try:
            return self._execute_module(
                module_name="inferops.gpu.unit_status",
                module_args={"units": [{"unit": unit, "restarts": before} for unit, before in restarts.items()], "wait": LOOK_SECONDS, "lines": lines},
                task_vars=task_vars,
            )
        except AnsibleConnectionFailure as error:
            display.vv(f"{', '.join(restarts)}: connection lost, reconnecting: {error}")
            time.sleep(LOOK_SECONDS)
            return {"units": dict.fromkeys(restarts, {"ended": False, "progress": {"text": "connection lost, reconnecting"}})}


def _result(unit: Row, status: Row, lines: int) -> Row | None:
    """Return the result of a unit that has ended or taken too long; None for one that is still waited for."""
    if status.get("ended"):
        return {"item": unit, **result_of({**unit, "fail": False, "lines": lines}, status, unit["seconds"])}
    if unit["seconds"] < unit["timeout"]:
        return None
    return _failure(
        unit,
        f"{unit['unit']} has not ended after {unit['seconds']:.0f} s ({describe(status)}). It continues on the host; run the playbook again to rejoin it.",
    )


def _stopped(unit: Row) -> Row:
    """Return the result when the run itself has ended."""
    return _failure(unit, "stopped waiting, because the run has ended; the unit continues on the host")


def _failure(unit: Row, text: str) -> Row:
    return {"item": unit, **failure({"fail": False}, unit["seconds"], f"{unit['label']}: {text}")}
