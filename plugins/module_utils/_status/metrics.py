# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines' own metrics: requests, KV cache, and tokens per second from two readings.

Names are those of vLLM 0.8.5 to 0.33 (C(v1/metrics/loggers.py)); C(gpu_cache_usage_perc) became C(kv_cache_usage_perc). C(/metrics) needs no key: vLLM's
key is for the paths under C(/v1) (its security guide, C(docs/usage/security.md)).
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
import socket
import threading
import time
import typing as t
import urllib.parse

from .. import _openai_api
from . import texts

# Seconds until a request counts as unanswered: the API server of a busy engine may take long. Seconds between the two readings.
SECONDS = 10.0
BETWEEN = 2.0
_SAMPLE = re.compile(r"^vllm:(\w{1,80})(?:\{[^}\n]*\})? (\S{1,40})$", re.MULTILINE)
_MOST_THREADS = 64


@dataclasses.dataclass(frozen=True)
class Reading:
    """One reading, at C(at) seconds of the monotonic clock. A value is None if the engine does not report it; C(kv_cache) is a fraction."""

    at: float
    running: float | None
    waiting: float | None
    kv_cache: float | None
    prompt: float | None
    generated: float | None


def parse(text: str, at: float) -> Reading:
    """Return a reading from the text of C(/metrics). Counters and requests of several engines add up; of their KV caches the fullest counts."""
    values: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(text):
        try:
            found = texts.number(float(value))
        except ValueError:
            continue
        if found is not None:
            values.setdefault(name, []).append(found)

    def total(name: str) -> float | None:
        return sum(values[name]) if name in values else None

    cache = values.get("kv_cache_usage_perc") or values.get("gpu_cache_usage_perc")
    return Reading(
        at, total("num_requests_running"), total("num_requests_waiting"), min(1.0, max(cache)) if cache else None,
        total("prompt_tokens_total"), total("generation_tokens_total"),
    )


def combine(first: Reading, second: Reading) -> dict[str, t.Any]:
    """Return requests and KV cache of the second reading, and tokens per second between both; None for what is unknown."""
    return {
        "requests_running": texts.whole(second.running), "requests_waiting": texts.whole(second.waiting),
        "kv_cache_used": None if second.kv_cache is None else round(second.kv_cache, 4),
        "prompt_tokens_per_second": _rate(first.prompt, second.prompt, second.at - first.at),
        "generation_tokens_per_second": _rate(first.generated, second.generated, second.at - first.at),
    }


def _rate(before: float | None, after: float | None, seconds: float) -> float | None:
    # A counter that has decreased is that of a new process.
    return round((after - before) / seconds, 1) if before is not None and after is not None and after >= before and seconds > 0 else None


def read(urls: t.Mapping[str, str], between: float = BETWEEN) -> dict[str, dict[str, t.Any]]:
    """Return, by key, what the engine at each URL reports, with C(error): why it does not answer, empty when it does. All engines are read side by side."""
    if not urls:
        return {}
    with concurrent.futures.ThreadPoolExecutor(min(len(urls), _MOST_THREADS)) as pool:
        return dict(zip(urls, pool.map(lambda url: _engine(url, between), urls.values())))


def _engine(url: str, between: float) -> dict[str, t.Any]:
    empty = combine(parse("", 0.0), parse("", 0.0))
    if not is_local(url):
        return {**empty, "error": f"{texts.one_line(url)} is not an address of this host"}
    try:
        # The connection does not leave this host, and no certificate is valid for its loopback address.
        api = _openai_api.Api(url, "", SECONDS, _openai_api.Trust(verify=False))
        first = _reading(api)
        if between <= 0 or (first.generated is None and first.prompt is None):
            return {**combine(first, first), "error": ""}
        threading.Event().wait(between)
        return {**combine(first, _reading(api)), "error": ""}
    except _openai_api.ApiError as error:
        # An engine without metrics (Transformers, vLLM with disable_log_stats) answers all the same.
        return {**empty, "error": "" if error.status in (404, 405) else texts.one_line(str(error))}
    except ValueError as error:
        return {**empty, "error": texts.one_line(f"{url}: {error}")}


def _reading(api: _openai_api.Api) -> Reading:
    return parse(api.read("/metrics").decode(errors="replace"), time.monotonic())


def is_local(url: str) -> bool:
    """Whether a URL leads to this host: only such an address can be bound."""
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
        family, kind, protocol, _name, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.bind(address)
    except (OSError, ValueError):
        return False
    return True
