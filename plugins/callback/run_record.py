# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: run_record
type: aggregate
short_description: Record changed and failed tasks for the report of a run
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Records the start of a run, the tasks that changed something or failed on each host, and the seconds of each role. Prints nothing.
  - The report that a run of C(site.yml) leaves (M(inferops.gpu.run_report)) contains this record. Without this plugin the report says that the tasks were
    not recorded.
  - Results of tasks with C(no_log) are recorded without their message.
requirements:
  - The plugin has to be enabled in C(callbacks_enabled), as in the C(ansible.cfg) of this collection's repository.
seealso:
  - module: inferops.gpu.run_report
"""

import time
import typing as t

from ansible.plugins.callback import CallbackBase
from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report.recorder import LONGEST, RECORD


class CallbackModule(CallbackBase):
    """Fills the record that actions of the same run read."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "inferops.gpu.run_record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._role = ""
        self._since = time.monotonic()

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        RECORD.start(str(getattr(playbook, "_file_name", "")))

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        now = time.monotonic()
        if self._role:
            RECORD.role_seconds[self._role] = RECORD.role_seconds.get(self._role, 0.0) + now - self._since
        self._role, self._since = _role(task), now

    def v2_playbook_on_handler_task_start(self, task: t.Any) -> None:
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: t.Any) -> None:
        if result.result.get("changed"):
            RECORD.add("changed", result.host.get_name(), _about(result, "changed"))

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            RECORD.add("failed", result.host.get_name(), {**_about(result, "failed"), "message": message(result.result)})

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        RECORD.unreachable.add(result.host.get_name())
        RECORD.add("failed", result.host.get_name(), {**_about(result, "failed"), "message": message(result.result)})


def _about(result: t.Any, status: str) -> dict[str, t.Any]:
    """The task, its role, and the labels of the items that have this status."""
    # An item's label may have data of the item, which no_log hides.
    rows = result.result.get("results")
    hidden = result.result.get("_ansible_no_log") or result.task.no_log
    items = [str(row.get("_ansible_item_label", ""))[:LONGEST] for row in rows if isinstance(row, dict) and row.get(status)] if isinstance(rows, list) else []
    return {"task": result.task.get_name().rpartition(" : ")[2], "role": _role(result.task), "items": [] if hidden else [item for item in items if item]}


def message(result: t.Mapping[str, t.Any]) -> str:
    """The message of a failed task, with those of its failed items; that of a task with no_log is hidden."""
    if result.get("_ansible_no_log"):
        return "(hidden by no_log)"
    rows = [row for row in result.get("results") or () if isinstance(row, dict) and row.get("failed")]
    parts = [str(row.get("msg") or "") for row in (rows or [result]) if not row.get("_ansible_no_log")]
    return "\n".join(part for part in parts if part)[:LONGEST] or str(result.get("msg") or "failed without a message")[:LONGEST]


def _role(task: t.Any) -> str:
    role = getattr(task, "_role", None)
    return str(role.get_name()).rpartition(".")[2] if role is not None else ""
