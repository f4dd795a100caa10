# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""Wait for a systemd unit on the host to finish and print its progress. Documented in plugins/modules/follow_unit.py."""

import hashlib
import math
import os
import time
import typing as t

from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.task import Task
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

# Seconds between two polls.
LOOK_SECONDS = 5.0
# Seconds between two printed lines of a host, and between those of any two hosts. AWX kills jobs that are silent, and keeps every line for ever.
LINE_SECONDS = 30.0
TURN_SECONDS = 10.0


class ActionModule(ActionBase):
    """Poll M(inferops.gpu.unit_status); each poll is a short call, so a lost connection costs a poll and not the work."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "unit": {"type": "str", "required": True},
                "label": {"type": "str", "required": True},
                "status_file": {"type": "str"},
                "timeout": {"type": "int", "default": 3600},
                "rejoin": {"type": "bool", "default": False},
                "lines": {"type": "int", "default": 30},
                "together": {"type": "str"},
                "fail": {"type": "bool", "default": True},
            },
        )
        if self._task.check_mode:
            return {"skipped": True, "changed": False, "msg": f"{arguments['unit']} is not followed in check mode"}

        # Tasks run in processes of their own, in sessions of their own: what ends the run, such as a killed job, does not end them.
        parent = os.getppid()
        start = time.monotonic()
        host = task_vars.get("inventory_hostname", "")
        next_line = lines_of(host, task_vars.get("ansible_play_batch") or [host])
        quiet_until = start
        restarts = -1
        while True:
            status = self._look(arguments, restarts, task_vars)
            if restarts < 0:
                restarts = status.get("restarts", -1)
            seconds = time.monotonic() - start
            if status.get("failed"):
                return status
            if status.get("ended"):
                return self._told_to_others(arguments, host, result_of(arguments, status, seconds))
            if os.getppid() != parent:
                return failure(arguments, seconds, f"{arguments['label']}: stopped waiting, because the run has ended; the unit continues on the host")
            other = self._told_by_others(arguments)
            if other:
                return failure(arguments, seconds, f"{arguments['label']}: stopped waiting, because its group has failed on {other}")
            if seconds >= arguments["timeout"]:
                return failure(
                    arguments, seconds,
                    f"{arguments['label']}: {arguments['unit']} has not ended after {seconds:.0f} s "
                    f"({describe(status)}). It continues on the host; run the playbook again to rejoin it.",
                )
            if time.monotonic() >= quiet_until:
                display.display(f"  {host}: {arguments['label']}: {describe(status)} ({seconds:.0f} s)")
                quiet_until = start + next_line(time.monotonic() - start)

    def _look(self, arguments: dict[str, t.Any], restarts: int, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Read the unit's status once. A lost connection is not a failure: the status is then unknown."""
        try:
            return self._execute_module(
                module_name="inferops.gpu.unit_status",
                module_args={
                    "unit": arguments["unit"], "status_file": arguments["status_file"], "wait": LOOK_SECONDS,
                    "restarts": restarts, "rejoin": arguments["rejoin"], "lines": arguments["lines"],
                },
                task_vars=task_vars,
            )
        except AnsibleConnectionFailure as error:
            display.vv(f"{arguments['unit']}: connection lost, reconnecting: {error}")
            time.sleep(LOOK_SECONDS)
            return {"ended": False, "progress": {"text": "connection lost, reconnecting"}}

    def _told_to_others(self, arguments: dict[str, t.Any], host: str, result: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the result. If it is a failure, write it to the marker file, for the tasks that follow other units of the group."""
        error = result.get("error") or (result.get("msg") if result.get("failed") else "")
        if arguments["together"] and error:
            with open(marker(self._task, arguments["together"]), "w", encoding="utf-8") as file:
                file.write(f"{host}: {error.splitlines()[0]}")
        return result

    def _told_by_others(self, arguments: dict[str, t.Any]) -> str:
        """Return which other unit of the group has failed, and why. Empty if none has failed."""
        if not arguments["together"]:
            return ""
        try:
            with open(marker(self._task, arguments["together"]), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""


def lines_of(host: str, hosts: t.Sequence[str]) -> t.Callable[[float], float]:
    """Return a function that maps the seconds since the start to the time of the host's next line.

    If a task follows many hosts in parallel, the hosts take turns, which limits the number of lines and leaves no minute without a line.
    """
    period = max(LINE_SECONDS, TURN_SECONDS * len(hosts))
    turn = period / len(hosts) * (hosts.index(host) if host in hosts else 0)

    def next_line(seconds: float) -> float:
        # Skip the current turn, and a turn right after the first line.
        rounds = math.floor((seconds - turn + LINE_SECONDS / 3) / period) + 1
        return turn + rounds * period

    return next_line


def marker(task: Task, group: str) -> str:
    """The file with which a task reports a failure to the same task on other hosts, which run in other processes on the controller."""
    name = hashlib.sha256(f"{task._uuid} {group}".encode()).hexdigest()[:16]
    return os.path.join(str(constants.DEFAULT_LOCAL_TMP), f"inferops-follow-{name}")


def result_of(arguments: dict[str, t.Any], status: dict[str, t.Any], seconds: float) -> dict[str, t.Any]:
    """Return the task's result from the last status. For a failure, the program's own error message comes first, then the journal."""
    progress = status.get("progress", {})
    told = {"state": status["state"], "status": status.get("status", ""), "progress": progress}
    result: dict[str, t.Any] = {"changed": False, "seconds": round(seconds, 1), **told}
    if not status["failed_start"]:
        return result
    if status.get("load") == "not-found":
        reason = f"the host has no unit {arguments['unit']}"
    else:
        # The program's own message, in the status file or else in the journal, is more specific than systemd's result.
        reason = progress.get("error") or status.get("cause") or f"{arguments['unit']} ended with result {status['result']}"
    parts = [f"{arguments['label']} failed: {reason}"]
    if progress.get("fix"):
        parts.append(f"Fix: {progress['fix']}")
    journal = status.get("journal", [])
    if journal:
        parts.append(f"From its journal (journalctl -u {arguments['unit']}):\n" + "\n".join(f"  {line}" for line in journal))
    return failure(arguments, seconds, "\n".join(parts))


def failure(arguments: dict[str, t.Any], seconds: float, text: str) -> dict[str, t.Any]:
    """Return the result for a failed unit: only the message, so that Ansible prints nothing else."""
    told = {"failed": True, "msg": text} if arguments["fail"] else {"error": text}
    return {"changed": False, "seconds": round(seconds, 1), **told}


def describe(status: dict[str, t.Any]) -> str:
    """Return the progress of the unit as its program reports it, or else as systemd does."""
    return status.get("progress", {}).get("text") or status.get("status") or status.get("state", "unknown")
