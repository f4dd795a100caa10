# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: heartbeat
type: aggregate
short_description: Print the running task when a run has been silent for a while
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Some tasks print nothing for minutes, for example the installation of packages over a slow network. AWX and similar systems cancel jobs that are silent
    for too long, and users think that the run hangs.
  - When nothing has been printed for a while, the plugin prints a line with the running task, the hosts that have not finished it and the elapsed seconds.
  - The plugin prints nothing for tasks that print their own progress for each host (M(inferops.gpu.follow_unit) and
    M(inferops.gpu.follow_units) with up to three hosts).
requirements:
  - The plugin has to be enabled in C(callbacks_enabled), as in the C(ansible.cfg) of this collection's repository.
options:
  seconds:
    description: Seconds without output until the plugin prints a line.
    type: int
    default: 45
    env:
      - name: INFEROPS_HEARTBEAT_SECONDS
    ini:
      - section: callback_inferops_heartbeat
        key: seconds
"""

import threading
import time
import typing as t

from ansible.plugins.callback import CallbackBase

# These actions print their own lines, at least as often as this plugin. With more hosts the hosts take turns, and the next host may have finished already.
TALKATIVE = frozenset({"inferops.gpu.follow_unit", "inferops.gpu.follow_units"})
TALKATIVE_HOSTS = 3

# Number of host names in a line. Further hosts are only counted.
NAMED_HOSTS = 3


class CallbackModule(CallbackBase):
    """Prints a line when Ansible prints nothing. Ansible's threads write its state, and its own thread reads it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "inferops.gpu.heartbeat"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._task = ""
        self._talks = False
        self._started = 0
        self._began = self._heard = time.monotonic()
        # In the order of their start.
        self._hosts: dict[str, None] = {}

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        # A daemon thread, so that an aborted run does not wait for it.
        threading.Thread(target=self._watch, name="heartbeat", daemon=True).start()

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._ended.set()

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        with self._lock:
            self._task = task.get_name()
            self._talks = task.resolved_action in TALKATIVE
            self._hosts.clear()
            self._started = 0
            self._began = self._heard = time.monotonic()

    def v2_playbook_on_handler_task_start(self, task: t.Any) -> None:
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        # Ansible prints nothing at this point, so the time of the last output does not change.
        with self._lock:
            self._hosts[host.get_name()] = None
            self._started += 1

    def _on_result(self, result: t.Any, *_args: t.Any, **_kwargs: t.Any) -> None:
        with self._lock:
            self._hosts.pop(result.host.get_name(), None)
            self._heard = time.monotonic()

    def _on_item(self, result: t.Any) -> None:
        with self._lock:
            self._heard = time.monotonic()

    v2_runner_on_ok = v2_runner_on_failed = v2_runner_on_skipped = v2_runner_on_unreachable = _on_result
    v2_runner_item_on_ok = v2_runner_item_on_failed = v2_runner_item_on_skipped = v2_runner_retry = _on_item

    def _watch(self) -> None:
        """Check every second until the run has ended."""
        while not self._ended.wait(1.0):
            line = self.line(time.monotonic())
            if line:
                self._display.display(line)

    def line(self, now: float) -> str:
        """Return the line to print at a time of the monotonic clock, or an empty string if there was output recently. The line counts as output."""
        with self._lock:
            talks = self._talks and self._started <= TALKATIVE_HOSTS
            if not self._task or talks or now - self._heard < self.get_option("seconds"):
                return ""
            self._heard = now
            hosts = list(self._hosts)
            told = ", ".join(hosts[:NAMED_HOSTS]) + (f" and {len(hosts) - NAMED_HOSTS} more" if len(hosts) > NAMED_HOSTS else "")
            return f"  still at: {self._task} ({f'{told}: ' if told else ''}{now - self._began:.0f} s)"
