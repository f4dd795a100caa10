# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: report
type: aggregate
short_description: Print a table of services and the duration of each role at the end of a run
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - C(site.yml) and C(verify.yml) export an item for each service of the run (C(inferops_result), with M(ansible.builtin.set_stats)). This plugin prints
    the items as a table, with the tokens per second of the verification.
  - The line under the table has the seconds that each role took, over all of its tasks and hosts. Roles that took less than 0.1 seconds are omitted.
  - Prints nothing after playbooks that export no such items.
requirements:
  - The plugin has to be enabled in C(callbacks_enabled), as in the C(ansible.cfg) of this collection's repository.
seealso:
  - plugin: inferops.gpu.heartbeat
    plugin_type: callback
"""

import time
import typing as t

from ansible.plugins.callback import CallbackBase

COLUMNS = ("service", "host", "state", "endpoint", "release", "model revision", "tokens/s")
LEAST_SECONDS = 0.1
REVISION_DIGITS = 12


class CallbackModule(CallbackBase):
    """Sums the seconds of each role's tasks, and prints the table and the sums at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "inferops.gpu.report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._began = self._since = time.monotonic()
        self._stage = ""
        self._seconds: dict[str, float] = {}

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._end_stage()
        role = getattr(task, "_role", None)
        self._stage = role.get_name().rpartition(".")[2] if role is not None else ""

    def v2_playbook_on_handler_task_start(self, task: t.Any) -> None:
        self.v2_playbook_on_task_start(task, False)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._end_stage()
        rows = (getattr(stats, "custom", None) or {}).get("_run", {}).get("inferops_result")
        if rows:
            for line in (*table(rows), stages(self._seconds, time.monotonic() - self._began)):
                self._display.display(line)

    def _end_stage(self) -> None:
        """Add the time since the start of the last task to its role."""
        now = time.monotonic()
        if self._stage:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._since = now


def table(rows: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the lines of the table of services, the header first."""
    cells = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    return ["", *("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)]


def _cells(row: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    rate = row.get("tokens_per_second")
    revision = f"{row.get('repo') or ''}@{str(row.get('revision') or '')[:REVISION_DIGITS]}" if row.get("repo") else "-"
    texts = (row["service"], row["host"], row["state"], row.get("endpoint") or "-", row.get("release") or "-", revision)
    return (*(str(text) for text in texts), "-" if rate is None else f"{rate:.1f}")


def stages(seconds: t.Mapping[str, float], whole: float) -> str:
    """Return the line with the seconds of each role, in the order of the run."""
    parts = [f"{name} {spent:.1f}" for name, spent in seconds.items() if spent >= LEAST_SECONDS]
    return f"\nseconds: {', '.join([*parts, f'{whole:.1f} in all'])}"
