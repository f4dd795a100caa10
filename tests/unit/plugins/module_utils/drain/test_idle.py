# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long a drain waits, by readings of requests and connections."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _openai_api
from ansible_collections.inferops.gpu.plugins.module_utils.drain import idle
from ansible_collections.inferops.gpu.plugins.module_utils.drain.idle import Reading


def drain(readings: Callable[[float], Reading], seconds: float = 30, ends: float = 1e9) -> tuple[str, float]:
    """What is left, and after how many seconds of virtual time. C(readings) are by time; the engine ends at C(ends)."""
    now = [0.0]

    def pause(length: float) -> None:
        now[0] += length

    left = idle.wait(lambda: readings(now[0]), lambda: now[0] < ends, seconds, lambda: now[0], pause)
    return left, now[0]


@pytest.mark.parametrize(("readings", "left", "least", "most"), [
    pytest.param(lambda now: Reading(0, 0), "", 0, 0, id="nobody is there"),
    pytest.param(lambda now: Reading(0, 3), "", 5, 5.25, id="connections that a load balancer keeps"),
    pytest.param(lambda now: Reading(2 if now < 7 else 0, 2 if now < 7 else 0), "", 7, 7.25, id="requests that end"),
    pytest.param(lambda now: Reading(2 if now < 7 else 0, 2), "", 11.75, 12.25, id="requests that end on kept connections"),
    pytest.param(lambda now: Reading(1 if 3 < now < 4 else 0, 1), "", 8.75, 9.25, id="another request on a kept connection"),
    pytest.param(lambda now: Reading(2, 2), "2 requests left after 30 s", 30, 30.25, id="requests that do not end"),
    pytest.param(lambda now: Reading(None, 1 if now < 9 else 0), "", 9, 9.25, id="an engine that does not count"),
    pytest.param(lambda now: Reading(None, 4), "4 connections left after 30 s", 30, 30.25, id="an engine that does not count, and kept connections"),
])
def test_it_waits_as_long_as_something_runs(readings: Callable[[float], Reading], left: str, least: float, most: float) -> None:
    """And no longer than it may."""
    said, seconds = drain(readings)
    assert said == left and least <= seconds <= most


def test_an_engine_that_ends_is_drained() -> None:
    assert drain(lambda now: Reading(2, 2), ends=4) == ("", 4)


def test_an_engine_that_does_not_answer_is_not_waited_for() -> None:
    """Its API server hangs, or is gone."""
    def gone(now: float) -> Reading:
        raise idle.Gone("/metrics: no answer")

    assert drain(gone) == ("the engine does not answer: /metrics: no answer", 0)


@pytest.mark.parametrize(("answer", "expected"), [
    ("vllm:num_requests_running{engine=\"0\"} 2.0\nvllm:num_requests_waiting{engine=\"0\"} 1.0\nvllm:generation_tokens_total{engine=\"0\"} 9.0\n", 3),
    ("something else", None),
    (_openai_api.ApiError("/metrics answered 404", 404), None),
])
def test_requests_are_those_of_the_metrics(answer: Any, expected: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running and waiting; None from an engine without metrics."""
    def read(path: str, timeout: float) -> bytes:
        if isinstance(answer, Exception):
            raise answer
        return str(answer).encode()

    monkeypatch.setattr(idle, "connections", lambda port: ["10.0.0.9"])
    api: Any = SimpleNamespace(read=read)
    assert idle.read(api, 8001) == Reading(expected, 1)


def test_no_answer_is_none() -> None:
    def read(path: str, timeout: float) -> bytes:
        raise _openai_api.ApiError("/metrics: refused")

    api: Any = SimpleNamespace(read=read)
    with pytest.raises(idle.Gone):
        idle.read(api, 8001)


TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0500000A:1F41 0900000A:D431 01 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0100007F:1F41 0100007F:D432 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 0500000A:1F42 0900000A:D433 01 00000000:00000000 00:00000000 00000000     0        0 4 1
   4: 0500000A:1F41 0900000A:D434 06 00000000:00000000 00:00000000 00000000     0        0 5 1
"""


def test_connections_of_others_count() -> None:
    """Established ones to this port alone; those from the host's own loopback address are the supervisor's probes."""
    assert idle.established(TCP, socket.AF_INET, 8001) == ["10.0.0.9"]


def test_an_address_of_ipv4_in_ipv6_is_one_of_ipv4() -> None:
    """As a socket that listens on :: has them."""
    line = "   0: {0}:1F41 {1}:D431 01 00000000:00000000 00:00000000 00000000 0 0 2 1\n"
    mapped, local = "0000000000000000FFFF00000900000A", "0000000000000000FFFF00000100007F"
    assert idle.established("head\n" + line.format(mapped, mapped) + line.format(local, local), socket.AF_INET6, 8001) == ["10.0.0.9"]
