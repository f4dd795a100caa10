# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One error after the other, on Ray: the service comes back by itself, with the right answer, in a time that is printed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from lab import ENVIRONMENT, ROOT, Scenario, wait_until
from pair import Pair

# Seconds in which it is back, on two processors that have other tests to run as well; what it takes is printed.
BACK = 300


@pytest.fixture(scope="module")
def right(pair: Pair) -> str:
    """The answer before anything happened."""
    return pair.complete()


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[dict[str, float]]:
    """Prints each error with its time at the end."""
    rows: dict[str, float] = {}
    yield rows
    print("\n" + "\n".join(f"| ray | {error} | {seconds:.0f} s |" for error, seconds in rows.items()))


FAILURES: list[tuple[str, Callable[[Pair], None]]] = [
    ("engine killed", lambda pair: pair.kill(pair.head, "VLLM::EngineCore")),
    ("Ray's rank killed on the worker", lambda pair: pair.kill(pair.worker, "ray::RayWorkerProc")),
    ("Ray killed on the worker", lambda pair: pair.kill(pair.worker, "raylet/raylet")),
    ("Ray's control service killed on the head", lambda pair: pair.kill(pair.head, "gcs_server")),
    ("worker host rebooted", lambda pair: pair.reboot(pair.worker)),
    ("head host rebooted", lambda pair: pair.reboot(pair.head)),
    ("both rebooted, head first", lambda pair: pair.reboot(pair.head, pair.worker)),
]


@pytest.mark.parametrize(("error", "inflict"), FAILURES, ids=[error for error, _inflict in FAILURES])
def test_it_comes_back(pair: Pair, right: str, table: dict[str, float], error: str, inflict: Callable[[Pair], None]) -> None:
    """What was there before is gone, and the next right answer comes in time."""
    before = pair.pids()
    began = time.monotonic()
    inflict(pair)
    wait_until(lambda: not pair.answers(right) or pair.pids() != before, 90, "the error is noticed")
    table[error] = pair.comes_back(right, BACK, began)


def shown(scenario: Scenario) -> str:
    """What playbooks/status.yml shows."""
    command = replace(scenario, playbook="playbooks/status.yml").command()
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, text=True, capture_output=True, timeout=120, check=True).stdout


def test_a_cut_network(pair: Pair, right: str, table: dict[str, float], scenario: Scenario) -> None:
    """For two minutes: both sides say which node is missing and since when, and nothing runs on. Counted from when it is whole again."""
    with pair.cut_off() as since:
        wait_until(lambda: "degraded: node two-worker missing since" in pair.status(), 60, f"the head says so: {pair.status()}")
        wait_until(lambda: pair.count(pair.worker, "raylet/raylet") == 0, 60, "the worker's Ray has ended")
        assert not pair.answers(right)
        assert "degraded: node two-worker missing since" in " ".join(shown(scenario).split())
        time.sleep(max(0.0, 120 - (time.monotonic() - since)))
    table["network cut for two minutes (from when it is whole)"] = pair.comes_back(right, BACK, time.monotonic())


def test_the_first_failure_is_kept(pair: Pair) -> None:
    """A log for each time that it fell, and none for the tries between."""
    kept = pair.head.check_output("ls /var/lib/inferops/failures/vllm-pair").split()
    assert kept
    assert "EngineCore" in pair.head.check_output("cat /var/lib/inferops/failures/vllm-pair/*/output.log")


def test_nothing_is_left_of_previous_generations(pair: Pair) -> None:
    """One process of each kind, and no shared memory but that of this generation."""
    for host, pattern, count in ((pair.head, "gcs_server", 1), (pair.head, "raylet/raylet", 1), (pair.worker, "raylet/raylet", 1), (pair.head, "VLLM::EngineCore", 1)):
        assert pair.count(host, pattern) == count, pattern
    sessions = pair.head.check_output("ls -d /var/lib/inferops/ray/pair/session_2*").split()
    assert len(sessions) == 1
