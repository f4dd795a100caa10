# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine's own metrics show: whether it has done work since the last reading, and its running and waiting requests.

Names are those of vLLM 0.8.5 to 0.33 (C(v1/metrics/loggers.py)); all of them come from the engine's process, none from the API server.
"""

from __future__ import annotations

import re
import typing as t

from .. import _openai_api

# Counters that only completed work changes. A hanging engine still gets requests, so gauges do not count, nor do requests that a client has given up.
_WORK = re.compile(
    r"^vllm:(?:generation_tokens|prompt_tokens|request_success)_total(?!\{[^}\n]*finished_reason=\"abort\")(?:\{[^}\n]*\})? (\S+)$", re.MULTILINE,
)
_RUNNING = re.compile(r"^vllm:num_requests_running(?:\{[^}\n]*\})? (\S+)$", re.MULTILINE)
_WAITING = re.compile(r"^vllm:num_requests_waiting(?:\{[^}\n]*\})? (\S+)$", re.MULTILINE)
SECONDS = 10.0


class Metrics(t.NamedTuple):
    """One reading. C(work) grows with each completed step of the engine; C(running) and C(waiting) are numbers of requests."""

    work: float
    running: int
    waiting: int


def read(api: _openai_api.Api) -> Metrics | None:
    """Return a reading; None when the server does not answer or has no such metrics (Transformers, vLLM with disable_log_stats)."""
    try:
        text = api.read("/metrics", timeout=SECONDS).decode(errors="replace")
    except _openai_api.ApiError:
        return None
    return parse(text)


def parse(text: str) -> Metrics | None:
    """Return the reading in the text of /metrics; None when it is not that of vLLM."""
    try:
        work = [float(value) for value in _WORK.findall(text)]
        running, waiting = (int(sum(map(float, pattern.findall(text)))) for pattern in (_RUNNING, _WAITING))
    except (ValueError, OverflowError):
        # A server whose metrics are not numbers is not vLLM.
        return None
    return Metrics(sum(work), running, waiting) if work else None
