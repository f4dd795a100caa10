# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The liveness probe: sends an engine a small request of its task, for text one token. C(/health) is no substitute: it returns 200 even when a node
is dead or the engine hangs.

An engine under load may answer a request late. When a request gets no answer, the probe therefore reads the engine's own counters: an engine
that has generated tokens meanwhile is busy, one that has generated none is dead.
"""

from __future__ import annotations

import time
import typing as t

from .. import _liveness, _openai_api, _task_checks

WELL = "well"
BUSY = "busy"
UNWELL = "unwell"
DEAD = "dead"

# Consecutive server errors after which the engine counts as dead: a single one may be temporary.
ERRORS = 2

# The cheapest request: chat models complete a text as well, without a template.
_CHEAPEST = {_task_checks.CHAT: _task_checks.COMPLETION}


class Engine:
    """An OpenAI-compatible server on this host. C(task) is its task (see _task_checks), C(liveness_timeout) the seconds without a
    token after which it counts as dead, C(timeout) the seconds that one answer may take."""

    def __init__(
        self, url: str, model: str, key: str, timeout: float, liveness_timeout: float,
        clock: t.Callable[[], float] = time.monotonic, task: str = _task_checks.AUTO,
    ) -> None:
        # The engine is on this host, so the name in its certificate does not matter.
        self._api = _openai_api.Api(url, key, timeout, _openai_api.Trust(verify=False))
        self._question = _task_checks.Question(model, prompt="Hi", max_tokens=1)
        self._tasks = (_CHEAPEST.get(task, task),) if task != _task_checks.AUTO else (
            _task_checks.COMPLETION, _task_checks.EMBEDDING, _task_checks.SCORE, _task_checks.CLASSIFY, _task_checks.POOLING, _task_checks.TRANSCRIPTION,
        )
        self._liveness_timeout = liveness_timeout
        self._clock = clock
        self._counted: t.Optional[list[str]] = None
        self._progress = clock()
        self._errors = 0

    def is_up(self) -> bool:
        """Whether the server answers at all, so that probes can begin."""
        try:
            self._api.read("/health", timeout=5)
        except _openai_api.ApiError:
            return False
        return True

    def look(self) -> tuple[str, str]:
        """Probe once; return one of WELL, BUSY, UNWELL (the next probe decides) and DEAD, and why. Raises nothing."""
        try:
            return self._look()
        except Exception as error:  # pylint: disable=broad-except
            # The probe must continue: the engine may hang later.
            return self._waiting(f"{type(error).__name__}: {_openai_api.shown(error)}")

    def _look(self) -> tuple[str, str]:
        for task in self._tasks:
            try:
                _task_checks.ask(self._api, task, self._question)
            except _openai_api.ApiError as error:
                if error.status == 0:
                    return self._waiting(str(error))
                if error.status >= 500:
                    self._errors += 1
                    return (DEAD if self._errors >= ERRORS else UNWELL), f"a {task} was answered with status {error.status}"
                if 400 <= error.status < 500:
                    # The engine does not have this task: try the next. With none left, the engine answers, and there is nothing more to probe.
                    continue
            # It has answered, perhaps with a token that is not text.
            self._tasks = (task,)
            break
        return self._well()

    def _well(self) -> tuple[str, str]:
        self._errors = 0
        self._progress = self._clock()
        return WELL, ""

    def _waiting(self, error: str) -> tuple[str, str]:
        """No answer in time: busy when its counters have moved since, dead when they have not for too long."""
        counted = _liveness.counters(self._api)
        if counted and counted != self._counted:
            self._counted = counted
            self._progress = self._clock()
            return BUSY, "a completion timed out while the engine generates tokens"
        quiet = self._clock() - self._progress
        why = f"no completion ({error}) and no token for {quiet:.0f} s"
        return (DEAD if quiet >= self._liveness_timeout else UNWELL), why
