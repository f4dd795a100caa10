# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service that does not answer in time hangs or is busy: a hanging service is restarted, a busy one never.

C(/health) is not enough: vLLM's server answers it even while its engine process hangs. So this module watches the engine's own counters while a
request waits. Each step of the engine changes one of them: prompt or generated tokens, running or waiting requests, the share of the KV cache in use.

Without counters (vLLM with disable_log_stats, Transformers) the CPU time of the unit's processes is the only evidence: processes that use none do
nothing; processes that use some may work, or wait in a loop for ever.
"""

from __future__ import annotations

import re
import threading
import time
import typing as t

from . import _openai_api, _task_checks

ANSWERS = "answers"
BUSY = "busy"
HANGS = "hangs"
BROKEN = "broken"
UNKNOWN = "unknown"

# Counters of vLLM 0.8.5 to 0.33 (v1/metrics/loggers.py); all of them come from the engine's process, none from the API server.
_MOVES = re.compile(
    r"^vllm:(?:generation_tokens|prompt_tokens|iteration_tokens|num_requests_running|num_requests_waiting|kv_cache_usage_perc|gpu_cache_usage_perc)"
    r"[a-z_]*(?:\{[^}\n]*\})? \S+$",
    re.MULTILINE,
)
LOOK_SECONDS = 2.0
_METRICS_SECONDS = 10.0
# Share of one CPU below which processes count as idle. A server that only waits and answers /metrics uses a little.
_RESTING = 0.05

CpuSeconds = t.Callable[[], t.Optional[float]]


def state_of(url: str, key: str, model: str, task: str, seconds: float, cpu_seconds: CpuSeconds = lambda: None) -> tuple[str, str]:
    """Return one of ANSWERS, BUSY, HANGS, BROKEN and UNKNOWN, and why. Runs on the service's own host.

    :param seconds: without a step of the engine for this long it counts as hanging
    :param cpu_seconds: returns the CPU time that the service's processes have used, None when unknown
    """
    try:
        api = _openai_api.Api(url, key, seconds, _openai_api.Trust(verify=False))
    except _openai_api.ApiError as error:
        return ANSWERS, str(error)
    found: list[tuple[str, str]] = []
    asker = threading.Thread(target=lambda: found.append(_ask(api, task, model)), daemon=True)
    before = counters(api)
    used = cpu_seconds()
    began = time.monotonic()
    asker.start()
    while time.monotonic() - began < seconds:
        asker.join(min(LOOK_SECONDS, seconds))
        if not asker.is_alive():
            break
        now = counters(api)
        if before and now and now != before:
            return BUSY, "a request has to wait, but the engine makes progress"
        before = before or now
    asker.join(1)
    if found and found[0][0] != HANGS:
        return found[0]
    if before is None or before:
        return HANGS, f"no answer and no step of the engine for {seconds:.0f} s"
    return _by_cpu(f"no answer for {seconds:.0f} s, and /metrics has no counters of the engine", used, cpu_seconds(), time.monotonic() - began)


def _by_cpu(why: str, before: float | None, after: float | None, seconds: float) -> tuple[str, str]:
    """Return HANGS or UNKNOWN from two readings of a service's CPU time, and why."""
    if before is None or after is None or after < before:
        return UNKNOWN, f"{why}; systemd does not report the CPU time of its processes"
    return (HANGS if after - before < _RESTING * seconds else UNKNOWN), f"{why}; its processes used {after - before:.1f} s of CPU time"


def _ask(api: _openai_api.Api, task: str, model: str) -> tuple[str, str]:
    try:
        _task_checks.ask(api, task, _task_checks.Question(model, prompt="Hi"))
    except _openai_api.ApiError as error:
        if 200 <= error.status < 500:
            # The cause is the request, the API key or the model's answer; a restart would not change that.
            return ANSWERS, str(error)
        return (HANGS if error.status == 0 and "no complete answer" in str(error) else BROKEN), str(error)
    except Exception as error:  # pylint: disable=broad-except  # Another thread waits for the result.
        return BROKEN, f"{type(error).__name__}: {_openai_api.shown(error)}"
    return ANSWERS, "it answers on its own host"


def counters(api: _openai_api.Api) -> t.Optional[list[str]]:
    """Return the lines of the engine's own counters, empty when the server has none; None when the server does not answer."""
    try:
        found = _MOVES.findall(api.read("/metrics", timeout=_METRICS_SECONDS).decode(errors="replace"))
    except _openai_api.ApiError as error:
        return None if error.status == 0 else []
    try:
        return found if [float(line.rpartition(" ")[2]) for line in found] else []
    except ValueError:
        # A server whose counters are not numbers is not vLLM.
        return []
