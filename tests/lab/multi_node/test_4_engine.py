# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ways to die that the real engine cannot be asked for: the small one misbehaves, on mp, and the supervisor gets the service back."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from lab import wait_until
from pair import Pair
from recovery import API, failures_kept, recovers
from testinfra.host import Host

pytestmark = pytest.mark.usefixtures("serving")

Misbehave = Callable[..., None]


def health(pair: Pair) -> int:
    """The status of /health."""
    with urllib.request.urlopen(f"{pair.url}/health", timeout=5) as answer:
        return int(answer.status)


def failed_starts(host: Host) -> int:
    """How many starts in a row have failed, as the host's supervisor has saved it."""
    found = host.run("python3 -c 'import json; print(json.load(open(\"/run/inferops-supervisor/vllm-pair/state.json\"))[\"failed\"])'").stdout.strip()
    return int(found or 0)


def test_it_hangs_and_is_healthy(pair: Pair, right: str, table: dict[str, float], misbehave: Misbehave) -> None:
    """No answer while /health is 200: within the liveness timeout and a probe, all of it restarts."""
    before = pair.runs()
    misbehave(pair.head, hang=True, once=True)
    began = time.monotonic()
    assert not pair.answers(right)
    assert health(pair) == 200
    wait_until(lambda: pair.runs() != before, 60, "the liveness probe finds it")
    found = "journalctl --no-pager --unit=vllm-pair --since=-3min --grep='is dead: no completion'"
    wait_until(lambda: pair.head.run(found).rc == 0, 60, "the journal has the reason")
    table["mp | engine hangs, /health 200"] = recovers(pair, right, before, began, "mp")


def test_it_answers_500(pair: Pair, right: str, table: dict[str, float], misbehave: Misbehave) -> None:
    """Two probes with a server error: it restarts."""
    before = pair.runs()
    misbehave(pair.head, status=500, once=True)
    began = time.monotonic()
    wait_until(lambda: pair.runs() != before, 60, "the probe finds it")
    assert "was answered with status 500" in pair.head.check_output("journalctl --no-pager --unit=vllm-pair --lines=200 --output=cat")
    table["mp | every completion 500"] = recovers(pair, right, before, began, "mp")


def test_it_exits_while_it_serves(pair: Pair, right: str, table: dict[str, float], misbehave: Misbehave) -> None:
    """With status 0, as vLLM does when its engine has died."""
    before = pair.runs()
    misbehave(pair.head, exit_after=0, once=True)
    began = time.monotonic()
    wait_until(lambda: pair.runs() != before, 60, "the end is noticed")
    table["mp | exit with status 0"] = recovers(pair, right, before, began, "mp")


def test_it_ignores_sigterm(pair: Pair, right: str, table: dict[str, float], misbehave: Misbehave) -> None:
    """A rank ends, and no other process of the engine reacts to SIGTERM: all of them are killed."""
    before = pair.runs()
    for host in (pair.head, pair.worker):
        misbehave(host, ignore_sigterm=True)
    began = pair.inflict(lambda pair: pair.kill(pair.worker, "VLLM::Worker"), right)
    table["mp | SIGTERM ignored"] = recovers(pair, right, before, began, "mp")


def test_it_starts_slowly(pair: Pair, right: str, table: dict[str, float], misbehave: Misbehave) -> None:
    """A start that takes longer than the liveness timeout and the heartbeat timeout is waited for: there is one new generation, not several."""
    before = pair.runs()
    misbehave(pair.head, start_delay=8)
    began = pair.inflict(lambda pair: pair.kill(pair.head, "VLLM::EngineCore"), right)
    starts = pair.head.check_output("systemctl show --value --property=NRestarts vllm-pair")
    table["mp | slow start (8 s)"] = recovers(pair, right, before, began, "mp")
    assert int(pair.head.check_output("systemctl show --value --property=NRestarts vllm-pair")) <= int(starts) + 1
    assert table["mp | slow start (8 s)"] >= 8


FAILED_STARTS: list[tuple[str, str, dict[str, Any]]] = [
    ("exit at start on the head", "head", {"exit_at_start": 1}),
    ("exit with status 0 while starting", "head", {"start_delay": 20, "exit_after": 1}),
    ("exit at start on the worker", "worker", {"exit_at_start": 1}),
]


@pytest.mark.parametrize(("failure", "where", "settings"), FAILED_STARTS, ids=[case[0] for case in FAILED_STARTS])
def test_its_starts_fail(
    pair: Pair, right: str, table: dict[str, float], misbehave: Misbehave, failure: str, where: str, settings: dict[str, Any],
) -> None:
    """The node whose program fails backs off, and the other one waits for it; the log of the first failure is kept, and none of those after it."""
    host: Host = getattr(pair, where)
    before, kept = pair.runs(), failures_kept(host)
    misbehave(host, **settings)
    # What serves ends by itself in this case.
    began = pair.inflict(lambda pair: None if "exit_after" in settings else pair.kill(host, "VLLM::"), right)

    def status() -> str:
        return host.check_output("systemctl show --value --property=StatusText vllm-pair")

    wait_until(lambda: "starts have failed, the next attempt starts in 10 s" in status(), 90, f"it backs off: {status()}", every=0.2)
    assert failed_starts(host) == 2
    new = [name for name in failures_kept(host) if name not in kept]
    assert len(new) == 1, new
    # What was killed while it served, and not the starts that failed after it.
    first = host.check_output("cat /var/lib/inferops/failures/vllm-pair/%s/output.log", new[0])
    assert "POST /v1/completions" in first or where == "worker", first[-2000:]
    misbehave(host)
    table[f"mp | {failure} (with 10 s of back-off)"] = recovers(pair, right, before, began, "mp")
    assert failed_starts(host) == 0
    assert [name for name in failures_kept(host) if name not in kept] == new


def test_wrong_arguments_are_not_tried_again(pair: Pair, right: str, table: dict[str, float], misbehave: Misbehave) -> None:
    """Exit status 2: systemd does not start the unit again, and the worker waits for it."""
    before = pair.runs()
    misbehave(pair.head, exit_at_start=2)
    pair.inflict(lambda pair: pair.kill(pair.head, "VLLM::EngineCore"), right)
    wait_until(lambda: pair.head.run("systemctl is-failed vllm-pair").stdout.strip() == "failed", 60, "the unit has failed")
    misbehave(pair.head)
    time.sleep(4)
    assert pair.head.run("systemctl is-failed vllm-pair").stdout.strip() == "failed"
    assert pair.count(pair.head, "VLLM::") == pair.count(pair.worker, "VLLM::") == pair.count(pair.worker, API) == 0
    began = time.monotonic()
    pair.head.run_expect([0], "systemctl start --no-block vllm-pair")
    table["mp | wrong arguments, then started"] = recovers(pair, right, before, began, "mp")
