# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The liveness probe. It asks an engine for work only when nothing else shows that it works.

The metrics of an engine under load show that it works: tokens and finished requests. Of an engine that has done nothing since the last probe it
requests an answer of its task, for text one token. C(/health) is no substitute: it returns 200 even when a node is dead or the engine hangs.

An engine under load may answer late. When a request gets no answer, the probe therefore reads the engine's counters again: an engine that has
generated tokens meanwhile is busy, one that has generated none for too long is dead. Of an engine without counters (Transformers, which answers one
request after the other, or vLLM with disable_log_stats) only the CPU time of its processes shows whether it works.
"""

from __future__ import annotations

import time
import typing as t

from .. import _liveness, _openai_api, _task_checks
from . import metrics
from .state import now

WELL = "well"
BUSY = "busy"
UNWELL = "unwell"
DEAD = "dead"

# Consecutive server errors after which the engine counts as dead: a single one may be temporary.
ERRORS = 2

# Share of one CPU from which on the processes of an engine without counters count as busy. A server that only waits uses less.
BUSY_CPU = 0.05
# Seconds that an engine has to answer after an error of its GPU, since it probably never will.
DEVICE_ERROR_SECONDS = 15.0

# The cheapest request: chat models complete a text as well, without a template. Where a server does not, its own task.
_CHEAPEST = {_task_checks.CHAT: (_task_checks.COMPLETION, _task_checks.CHAT)}


class Engine:
    """An OpenAI-compatible server on this host. C(task) is its task (see _task_checks), C(liveness_timeout) the seconds without a
    token after which it counts as dead, C(timeout) the seconds that one answer may take."""

    def __init__(
        self, url: str, model: str, key: str, timeout: float, liveness_timeout: float,
        clock: t.Callable[[], float] = time.monotonic, task: str = _task_checks.AUTO, cpu_seconds: t.Callable[[], float] = lambda: 0.0,
    ) -> None:
        # The engine is on this host, so the name in its certificate does not matter.
        self._api = _openai_api.Api(url, key, timeout, _openai_api.Trust(verify=False))
        self._question = _task_checks.Question(model, prompt="Hi", max_tokens=1)
        self._tasks = _CHEAPEST.get(task, (task,)) if task != _task_checks.AUTO else (
            _task_checks.COMPLETION, _task_checks.EMBEDDING, _task_checks.SCORE, _task_checks.CLASSIFY, _task_checks.POOLING, _task_checks.TRANSCRIPTION,
        )
        self._liveness_timeout = liveness_timeout
        self._clock = clock
        self._cpu_seconds = cpu_seconds
        # When the CPU time was last read, and what it was.
        self._cpu: tuple[float, float] = (clock(), cpu_seconds())
        self._counted: t.Optional[list[str]] = None
        self._progress = clock()
        self._errors = 0
        self._timeout = timeout
        # The metrics after the last answer; None until there has been one, since work alone does not show that a service has started.
        self._seen: t.Optional[metrics.Metrics] = None
        self._has_answered = False
        self._has_counters = False
        # Since when it has not answered, as a time of day; empty while it does.
        self._since = ""
        # For the status: its running and waiting requests, and how long until it counts as dead.
        self.load = ""
        self.due = ""

    def is_up(self) -> bool:
        """Whether the server answers at all, so that probes can begin."""
        try:
            self._api.read("/health", timeout=5)
        except _openai_api.ApiError:
            return False
        return True

    def look(self, device_error: str = "") -> tuple[str, str]:
        """Probe once; return one of WELL, BUSY, UNWELL (the next probe decides) and DEAD, and why. Raises nothing.

        :param device_error: an error of a GPU that the engine has printed. Then its metrics do not count, and it has less time to answer.
        """
        try:
            return self._look(device_error)
        except Exception as error:  # pylint: disable=broad-except
            # The probe must continue: the engine may hang later.
            return self._waiting(f"{type(error).__name__}: {_openai_api.shown(error)}", device_error)

    def _look(self, device_error: str) -> tuple[str, str]:
        if self._has_worked() and not device_error:
            return self._well()
        self._api.timeout = min(self._timeout, DEVICE_ERROR_SECONDS) if device_error else self._timeout
        if device_error:
            # What it did before the error does not count.
            self._counted = _liveness.counters(self._api) or self._counted
        for task in self._tasks:
            try:
                _task_checks.ask(self._api, task, self._question)
            except _openai_api.ApiError as error:
                if error.status == 0:
                    return self._waiting(str(error), device_error)
                if error.status >= 500:
                    self._errors += 1
                    return (DEAD if self._errors >= ERRORS else UNWELL), f"a {task} was answered with status {error.status}"
                if 400 <= error.status < 500:
                    # The engine does not have this task: try the next. With none left, the engine answers, and there is nothing more to probe.
                    continue
            # It has answered, perhaps with a token that is not text.
            self._tasks = (task,)
            break
        self._has_answered = True
        # Its own answer is no work for somebody else.
        self._read()
        return self._well()

    def _has_worked(self) -> bool:
        """Whether its metrics show work for others since the last probe."""
        before, found = self._seen, self._read()
        self.load = f"{found.running} running, {found.waiting} waiting" if found is not None else ""
        return self._has_answered and found is not None and before is not None and found.work > before.work

    def _read(self) -> metrics.Metrics | None:
        self._seen = metrics.read(self._api)
        self._has_counters = self._has_counters or self._seen is not None
        return self._seen

    def _well(self) -> tuple[str, str]:
        self._errors = 0
        self._cpu = (self._clock(), self._cpu_seconds())
        self._progress = self._clock()
        self._since = self.due = ""
        return WELL, ""

    def _waiting(self, error: str, device_error: str) -> tuple[str, str]:
        """No answer in time: busy when its counters have moved since, dead when they have not for too long."""
        counted = _liveness.counters(self._api)
        if counted and counted != self._counted:
            self._counted = counted
            self._progress = self._clock()
            self.due = ""
            return BUSY, "a completion timed out while the engine generates tokens"
        if not self._has_counters and self._uses_cpu():
            self._progress = self._clock()
            self.due = ""
            return BUSY, "a request timed out while the engine's processes use CPU time; it has no counters that show more"
        if device_error:
            return DEAD, f"no completion ({error}) after {device_error}"
        quiet = self._clock() - self._progress
        self._since = self._since or now()
        if quiet >= self._liveness_timeout:
            return DEAD, f"no completion ({error}) and no token for {quiet:.0f} s"
        self.due = f"restarting in {self._liveness_timeout - quiet:.0f} s"
        return UNWELL, f"not answering since {self._since} ({error})"

    def _uses_cpu(self) -> bool:
        """Whether its processes have used CPU time since this was last read."""
        (since, before), self._cpu = self._cpu, (self._clock(), self._cpu_seconds())
        return self._cpu[1] - before > BUSY_CPU * (self._cpu[0] - since)
