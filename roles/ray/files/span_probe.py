# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an engine really answers: a completion of one token. C(/health) says 200 with a dead node and with an engine that hangs.

An engine under load may let a completion wait longer than anybody likes. So one that does not come is held against the engine's own counters: who
has made tokens meanwhile is busy, who has not is dead.
"""

from __future__ import annotations

import json
import re
import time
import typing as t
import urllib.error
import urllib.request

_COUNTER = re.compile(r"^vllm:(?:generation_tokens|prompt_tokens|request_success)_total(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE)

WELL = "well"
BUSY = "busy"
UNWELL = "unwell"
DEAD = "dead"

# Errors of the server in a row that make it dead: a single one may be the fault of the moment.
ERRORS = 2


class Engine:
    """An OpenAI-compatible server on this host. C(patience) is how many seconds it may make no token before it counts as dead, C(timeout) those that
    one completion may take."""

    def __init__(self, url: str, model: str, key: str, timeout: float, patience: float, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._model = model
        self._key = key
        self._timeout = timeout
        self._patience = patience
        self._clock = clock
        # No proxy: this is the host itself.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._counted = -1.0
        self._progress = clock()
        self._errors = 0

    def _ask(self, path: str, body: dict[str, t.Any] | None, timeout: float) -> str:
        request = urllib.request.Request(self._url + path, data=None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        if self._key:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        with self._opener.open(request, timeout=timeout) as answer:
            return str(answer.read().decode(errors="replace"))

    def is_up(self) -> bool:
        """Whether the server answers at all: enough to begin asking it for more."""
        try:
            self._ask("/health", None, 5)
        except OSError:
            return False
        return True

    def look(self) -> tuple[str, str]:
        """Ask for a completion; return one of WELL, BUSY, UNWELL (it will be asked again) and DEAD, and why."""
        try:
            self._ask("/v1/completions", {"model": self._model, "prompt": "Hi", "max_tokens": 1, "temperature": 0}, self._timeout)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                # It answers, and not to this question (a model that makes no text, a key of its own): more cannot be asked.
                return self._well()
            self._errors += 1
            why = f"a completion was answered with status {error.code}"
            return (DEAD if self._errors >= ERRORS else UNWELL), why
        except OSError as error:
            return self._waiting(str(error))
        return self._well()

    def _well(self) -> tuple[str, str]:
        self._errors = 0
        self._progress = self._clock()
        return WELL, ""

    def _waiting(self, error: str) -> tuple[str, str]:
        """No answer in time: busy when it has counted something since, dead when that is too long ago."""
        counted = self._count()
        if counted is not None and counted != self._counted:
            self._counted = counted
            self._progress = self._clock()
            return BUSY, "a completion had to wait, and tokens are being made"
        quiet = self._clock() - self._progress
        why = f"no completion ({error}) and no token for {quiet:.0f} s"
        return (DEAD if quiet >= self._patience else UNWELL), why

    def _count(self) -> float | None:
        """The sum of what the engine counts of its work; None when it does not say."""
        try:
            found = _COUNTER.findall(self._ask("/metrics", None, 10))
        except OSError:
            return None
        return sum(float(number) for number in found) if found else None
