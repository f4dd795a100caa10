# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run did, task by task: recorded by the callback C(run_record), read by the action C(run_report).

An action runs in a fork of the process that calls the callbacks. So it finds in this module what they have recorded until then.
"""

from __future__ import annotations

import time

from dataclasses import dataclass, field
from typing import Any

# Limits of a record, whatever a run does: changed or failed tasks of a host, and characters of a message.
MOST_TASKS = 500
LONGEST = 4000


@dataclass
class Record:
    """The tasks of a run that changed something or failed, by host. C(began) is in seconds since 1970; C(active) is whether the callback is enabled."""

    active: bool = False
    began: float = 0.0
    playbook: str = ""
    changed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)
    role_seconds: dict[str, float] = field(default_factory=dict)
    omitted: dict[str, int] = field(default_factory=dict)

    def start(self, playbook: str) -> None:
        """Begin the record of a run."""
        self.__init__(active=True, began=time.time(), playbook=playbook)  # type: ignore[misc]

    def add(self, kind: str, host: str, task: dict[str, Any]) -> None:
        """Add a task to C(changed) or C(failed)."""
        tasks = getattr(self, kind).setdefault(host, [])
        if len(tasks) < MOST_TASKS:
            tasks.append(task)
        else:
            self.omitted[host] = self.omitted.get(host, 0) + 1


RECORD = Record()
