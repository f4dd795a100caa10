# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The same service by vLLM's own processes: Ray's units go, the answers stay, and it comes back as it does on Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from lab import Play, wait_until
from pair import Pair

BACK = 300

# vLLM's own command, and not its supervisor, which has it among its arguments.
VLLM = "bin/python[0-9.]* /opt/inferops/releases/"


@pytest.fixture(scope="module")
def right(pair: Pair, play: Callable[..., Play]) -> str:
    """The answer on Ray; then the service is changed over."""
    wait_until(lambda: pair.status().startswith("serving"), 300, f"it serves: {pair.status()}")
    answer = pair.complete()
    done = play(variables={"two_node_backend": "mp"})
    assert done.status == 0, done.output[-3000:]
    return answer


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[dict[str, float]]:
    """Prints each fault with its time at the end."""
    rows: dict[str, float] = {}
    yield rows
    print("\n" + "\n".join(f"| mp | {fault} | {seconds:.0f} s |" for fault, seconds in rows.items()))


def test_the_units_of_ray_are_gone(pair: Pair, right: str) -> None:
    """And nothing of Ray runs; the answer is the same."""
    assert pair.units(pair.head) == pair.units(pair.worker) == ["vllm-pair.service"]
    for host in (pair.head, pair.worker):
        assert host.check_output("systemctl list-units --all --no-legend 'ray-*'") == ""
        assert pair.count(host, "raylet/raylet") == pair.count(host, "gcs_server") == 0
    assert pair.complete() == right


FAULTS: list[tuple[str, Callable[[Pair], None]]] = [
    ("engine killed", lambda pair: pair.kill(pair.head, "VLLM::EngineCore")),
    ("rank killed on the worker", lambda pair: pair.kill(pair.worker, "VLLM::Worker")),
    ("supervisor killed on the head", lambda pair: pair.kill(pair.head, "span.py hub")),
    ("worker host rebooted", lambda pair: pair.reboot(pair.worker)),
    ("head host rebooted", lambda pair: pair.reboot(pair.head)),
    ("both rebooted, worker first", lambda pair: pair.reboot(pair.worker, pair.head)),
]


@pytest.mark.parametrize(("fault", "inflict"), FAULTS, ids=[fault for fault, _inflict in FAULTS])
def test_it_comes_back(pair: Pair, right: str, table: dict[str, float], fault: str, inflict: Callable[[Pair], None]) -> None:
    """Both ranks are new, and the next right answer comes in time."""
    before = pair.pids()
    began = time.monotonic()
    inflict(pair)
    wait_until(lambda: not pair.answers(right) or pair.pids() != before, 90, "the fault is noticed")
    table[fault] = pair.comes_back(right, BACK, began)
    after = pair.pids()
    assert all(after[unit] != before[unit] for unit in before), "a rank has outlived the others"


def test_a_cut_network(pair: Pair, right: str, table: dict[str, float]) -> None:
    """For two minutes: neither rank outlives the other. Counted from when it is whole again."""
    with pair.cut_off() as since:
        wait_until(lambda: "degraded: node two-worker missing since" in pair.status(), 60, f"the head says so: {pair.status()}")
        wait_until(lambda: pair.count(pair.worker, VLLM) == pair.count(pair.head, VLLM) == 0, 60, "both ranks have ended")
        time.sleep(max(0.0, 120 - (time.monotonic() - since)))
    table["network cut for two minutes (from when it is whole)"] = pair.comes_back(right, BACK, time.monotonic())


def test_a_follower_does_not_outlive_its_leader(pair: Pair, right: str) -> None:
    """With the head's unit stopped the worker's rank ends, and waits for the next leader."""
    pair.head.run_expect([0], "systemctl stop vllm-pair")
    wait_until(lambda: pair.count(pair.worker, VLLM) == 0, 60, "the rank has ended")
    # First why the life ended, then what the next one waits for: both name the head.
    # Between the two, while systemd waits to start the unit again, it has no words at all.
    wait_until(lambda: "two-head" in pair.worker.check_output("systemctl show --value --property=StatusText vllm-pair"), 30, "its status names the head")
    began = time.monotonic()
    pair.head.run_expect([0], "systemctl start --no-block vllm-pair")
    pair.comes_back(right, BACK, began)
