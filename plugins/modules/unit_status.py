#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: unit_status
short_description: Read how a systemd unit stands, waiting a little for it to end
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Reads a unit's state, the progress that its program wrote, and on failure the end of its journal.
  - Changes nothing. M(inferops.gpu.follow_unit) calls it until the unit has ended.
options:
  unit:
    description: Name of the unit.
    type: str
    required: true
  status_file:
    description: JSON file in which the unit's program says how far it is.
    type: path
  wait:
    description: Seconds to wait for the unit to leave the state V(activating).
    type: float
    default: 0
  restarts:
    description:
      - How often systemd had started the unit again when following it began. More than that means that a start has failed since.
      - Below 0 when nothing is known.
    type: int
    default: -1
  rejoin:
    description: Whether a unit that systemd starts again by itself goes on; otherwise it has failed.
    type: bool
    default: false
  lines:
    description: Journal lines to return of a unit that failed.
    type: int
    default: 30
extends_documentation_fragment:
  - inferops.gpu.attributes.read
seealso:
  - module: inferops.gpu.follow_unit
"""

EXAMPLES = r"""
- name: See how far the download is
  inferops.gpu.unit_status:
    unit: inferops-weights-example.service
"""

RETURN = r"""
state:
  description: The unit's ActiveState.
  returned: always
  type: str
result:
  description: The unit's Result, for example V(success) or V(exit-code).
  returned: always
  type: str
ended:
  description: Whether the unit is no longer running or starting.
  returned: always
  type: bool
failed_start:
  description: Whether the unit ended in failure or had to be started again.
  returned: always
  type: bool
restarts:
  description: How often systemd has started the unit again since it was last started by hand.
  returned: always
  type: int
status:
  description: What the unit's program tells systemd of itself (StatusText); empty where it tells nothing.
  returned: always
  type: str
load:
  description: The unit's LoadState; V(not-found) where there is no such unit.
  returned: always
  type: str
progress:
  description: Content of the status file, empty where there is none.
  returned: always
  type: dict
cause:
  description: What the program said was wrong, found in the journal of a unit that failed; empty where it said nothing that is known.
  returned: always
  type: str
journal:
  description: Last lines of the journal of this start of the unit, when it failed.
  returned: always
  type: list
  elements: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _exit_status, _journal, _systemd

# Lines that are searched for the cause: a traceback for each process of an engine, and what they logged before.
CAUSE_LINES = 600
# How the main process ended.
MAIN = ("ExecMainCode", "ExecMainStatus")


def has_failed(active: str, sub: str, restarts: int, before: int) -> bool:
    """Tell whether a start has failed since `before` restarts, though systemd is at the next one or waits to be."""
    return sub == "auto-restart" or (active != "active" and 0 <= before < restarts)


def ended_by(state: t.Mapping[str, str]) -> str:
    """Return how systemd saw the main process end when a signal or the kernel ended it; empty when it ended by itself."""
    if state["Result"] == "oom-kill":
        return f"its program {_exit_status.describe(-9)}"
    # CLD_KILLED and CLD_DUMPED of waitid(2).
    killed = state["Result"] in ("signal", "core-dump") and state["ExecMainCode"] in ("2", "3")
    return f"its program {_exit_status.describe(-int(state['ExecMainStatus'] or 0))}" if killed else ""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "status_file": {"type": "path"},
            "wait": {"type": "float", "default": 0},
            "restarts": {"type": "int", "default": -1},
            "rejoin": {"type": "bool", "default": False},
            "lines": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    unit = module.params["unit"]
    deadline = time.monotonic() + module.params["wait"]
    while True:
        state = _systemd.show(unit, "ActiveState", "SubState", "Result", "InvocationID", "LoadState", "NRestarts", "Job", "StatusText", *MAIN)
        restarts = int(state["NRestarts"] or 0)
        fell = not module.params["rejoin"] and has_failed(state["ActiveState"], state["SubState"], restarts, module.params["restarts"])
        # A unit whose job is queued still shows the state of its previous generation.
        running = state["ActiveState"] in ("activating", "deactivating", "reloading") or state["Job"] not in ("", "0")
        ended = fell or not running
        if ended or time.monotonic() >= deadline:
            break
        time.sleep(0.25)
    failed = fell or (ended and (state["Result"] != "success" or state["LoadState"] == "not-found"))
    # The next try may have begun, and what it says is not what went wrong.
    of_next_try = fell and state["SubState"] != "auto-restart"
    journal = _systemd.journal(unit, "" if of_next_try else state["InvocationID"], CAUSE_LINES) if failed else []
    module.exit_json(
        changed=False,
        state=state["ActiveState"],
        result=state["Result"],
        load=state["LoadState"],
        ended=ended,
        failed_start=failed,
        restarts=restarts,
        status=state["StatusText"],
        progress=_systemd.read_progress(module.params["status_file"]),
        cause=(_journal.cause(journal) or ended_by(state)) if failed else "",
        journal=_journal.excerpt(journal, module.params["lines"]),
    )


if __name__ == "__main__":
    main()
