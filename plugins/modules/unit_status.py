#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: unit_status
short_description: Read the state of a systemd unit, with an optional wait
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Reads the state of a unit, the progress that its program wrote and, after a failure, the end of its journal.
  - Changes nothing. M(inferops.gpu.follow_unit) and M(inferops.gpu.follow_units) call this module until the unit has ended.
options:
  unit:
    description: Name of the unit. Either this or O(units) is required.
    type: str
  units:
    description: Several units. The module waits until one of them has ended, and returns RV(units).
    type: list
    elements: dict
    suboptions:
      unit:
        description: Name of the unit.
        type: str
        required: true
      restarts:
        description: As O(restarts).
        type: int
        default: -1
  status_file:
    description: JSON file to which the unit's program writes its progress.
    type: path
  wait:
    description: Seconds to wait for the unit to leave the state V(activating).
    type: float
    default: 0
  restarts:
    description:
      - Number of automatic restarts of the unit when following it began. A larger number means that a start has failed since then.
      - Negative if unknown.
    type: int
    default: -1
  rejoin:
    description: Whether to continue when systemd restarts the unit automatically. With V(false), such a restart counts as a failure.
    type: bool
    default: false
  lines:
    description: Number of journal lines to return for a failed unit.
    type: int
    default: 30
extends_documentation_fragment:
  - inferops.gpu.attributes.read
seealso:
  - module: inferops.gpu.follow_unit
  - module: inferops.gpu.follow_units
"""

EXAMPLES = r"""
- name: Read the progress of the download
  inferops.gpu.unit_status:
    unit: inferops-weights-example.service
"""

RETURN = r"""
state:
  description: C(ActiveState) of the unit.
  returned: with O(unit)
  type: str
result:
  description: C(Result) of the unit, for example V(success) or V(exit-code).
  returned: with O(unit)
  type: str
ended:
  description: Whether the unit has finished starting or stopping, or its start has failed.
  returned: with O(unit)
  type: bool
failed_start:
  description: Whether the unit failed, systemd had to restart it, or its supervisor waits until a GPU may be used.
  returned: with O(unit)
  type: bool
restarts:
  description: Number of automatic restarts since the unit was last started explicitly (C(NRestarts)).
  returned: with O(unit)
  type: int
status:
  description: Status text that the unit's program sent to systemd (C(StatusText)). Empty if it sent none.
  returned: with O(unit)
  type: str
load:
  description: C(LoadState) of the unit. V(not-found) if the unit does not exist.
  returned: with O(unit)
  type: str
progress:
  description: Content of the status file. Empty if there is none.
  returned: with O(unit)
  type: dict
cause:
  description: >-
    Cause of the failure that the module found in the journal of a failed unit, or what is wrong with a GPU that the unit waits for. Empty if it found no
    known cause.
  returned: with O(unit)
  type: str
journal:
  description: Last journal lines of the unit's latest start, if it failed.
  returned: with O(unit)
  type: list
  elements: str
units:
  description: By unit, a dictionary with the other return values, without RV(progress).
  returned: with O(units)
  type: dict
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _exit_status, _journal, _systemd

# Lines that are searched for the cause: enough for a traceback of each process of an engine and the log before it.
CAUSE_LINES = 600
# What a supervisor's status begins with while it does not start its program, because a GPU must not be used (supervisor/base.py), and for how many
# seconds a unit has to report that: a unit that is just being restarted still has the status of its previous start.
HELD = "not starting: "
HELD_SECONDS = 3.0
# The last two: how the main process ended.
PROPERTIES = (
    "ActiveState", "SubState", "Result", "InvocationID", "LoadState", "NRestarts", "Job", "StatusText", "ExecMainCode", "ExecMainStatus",
)


def has_failed(active: str, sub: str, restarts: int, before: int) -> bool:
    """Whether a start has failed since `before` restarts, even if systemd makes the next attempt or waits for it."""
    return sub == "auto-restart" or (active != "active" and 0 <= before < restarts)


def ended_by(state: t.Mapping[str, str]) -> str:
    """Return which signal killed the main process according to systemd; empty when it exited by itself."""
    if state["Result"] == "oom-kill":
        return f"its program {_exit_status.describe(-9)}"
    # CLD_KILLED and CLD_DUMPED of waitid(2).
    killed = state["Result"] in ("signal", "core-dump") and state["ExecMainCode"] in ("2", "3")
    return f"its program {_exit_status.describe(-int(state['ExecMainStatus'] or 0))}" if killed else ""


def is_held(state: t.Mapping[str, str]) -> bool:
    """Whether a unit waits with its start until a GPU may be used: that may take days, and needs somebody who mends the GPU."""
    return state["ActiveState"] == "activating" and state["StatusText"].startswith(HELD)


def cause_of(state: t.Mapping[str, str], journal: t.Sequence[str], held: bool) -> str:
    """Return why a unit has failed: the status of one that waits for a GPU, otherwise the cause in its journal, otherwise the signal that ended it."""
    return state["StatusText"][len(HELD):] if held else _journal.cause(journal) or ended_by(state)


class Watched:
    """A unit that is watched until it has ended."""

    def __init__(self, unit: str, restarts: int, rejoin: bool, held_timeout: float) -> None:
        """:param held_timeout: seconds for which a unit has to wait for a GPU, until that counts as a failed start"""
        self.unit, self.before, self.rejoin, self.held_timeout = unit, restarts, rejoin, held_timeout
        self.state: dict[str, str] = {}
        self.held_since: t.Optional[float] = None
        self.fell = self.held = self.ended = False

    @property
    def restarts(self) -> int:
        """Automatic restarts of the unit so far."""
        return int(self.state["NRestarts"] or 0)

    def look(self, state: dict[str, str]) -> None:
        """Take the unit's present state."""
        self.state = state
        self.fell = not self.rejoin and has_failed(state["ActiveState"], state["SubState"], self.restarts, self.before)
        # A unit whose job is queued still shows the state of its previous generation.
        running = state["ActiveState"] in ("activating", "deactivating", "reloading") or state["Job"] not in ("", "0")
        self.held_since = (self.held_since or time.monotonic()) if is_held(state) else None
        self.held = self.held_since is not None and time.monotonic() - self.held_since >= self.held_timeout
        self.ended = self.fell or self.held or not running

    def result(self, lines: int) -> dict[str, t.Any]:
        """Return the unit's status, with its journal if it has failed."""
        state = self.state
        failed = self.fell or self.held or (self.ended and (state["Result"] != "success" or state["LoadState"] == "not-found"))
        # The next attempt may have started; its messages are not about the failure.
        of_next_try = self.fell and state["SubState"] != "auto-restart"
        # A unit that waits for a GPU has no program, and its status says all.
        journal = _systemd.journal(self.unit, "" if of_next_try else state["InvocationID"], CAUSE_LINES) if failed and not self.held else []
        return {
            "state": state["ActiveState"],
            "result": state["Result"],
            "load": state["LoadState"],
            "ended": self.ended,
            "failed_start": failed,
            "restarts": self.restarts,
            "status": state["StatusText"],
            "cause": cause_of(state, journal, self.held) if failed else "",
            "journal": _journal.excerpt(journal, lines),
        }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str"},
            "units": {
                "type": "list", "elements": "dict",
                "options": {"unit": {"type": "str", "required": True}, "restarts": {"type": "int", "default": -1}},
            },
            "status_file": {"type": "path"},
            "wait": {"type": "float", "default": 0},
            "restarts": {"type": "int", "default": -1},
            "rejoin": {"type": "bool", "default": False},
            "lines": {"type": "int", "default": 30},
        },
        mutually_exclusive=[("unit", "units")],
        required_one_of=[("unit", "units")],
        supports_check_mode=True,
    )
    given = module.params
    items = given["units"] or [{"unit": given["unit"], "restarts": given["restarts"]}]
    watched = [Watched(item["unit"], item["restarts"], given["rejoin"], min(HELD_SECONDS, given["wait"])) for item in items]
    deadline = time.monotonic() + given["wait"]
    while True:
        states = _systemd.show_all([one.unit for one in watched], *PROPERTIES)
        for one in watched:
            one.look(states[one.unit])
        if any(one.ended for one in watched) or time.monotonic() >= deadline:
            break
        time.sleep(0.25)
    if given["units"]:
        module.exit_json(changed=False, units={one.unit: one.result(given["lines"]) for one in watched})
    module.exit_json(changed=False, progress=_systemd.read_progress(given["status_file"]), **watched[0].result(given["lines"]))


if __name__ == "__main__":
    main()
