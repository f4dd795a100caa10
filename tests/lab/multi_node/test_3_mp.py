# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The same service on vLLM's own processes: Ray's units go, the answer stays, and it comes back as it does on Ray."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from changes import assert_that_ray_is_gone
from lab import Play, wait_until
from pair import Pair
from recovery import API, is_new, recovers


@pytest.fixture(scope="module", autouse=True)
def mp(pair: Pair, play: Callable[..., Play]) -> None:
    """The service is changed over to mp."""
    beside = pair.beside()
    done = play(variables={"pair_backend": "mp"})
    assert done.status == 0, done.output[-3000:]
    assert pair.beside() == beside, "the service beside was restarted"


def test_the_units_of_ray_are_gone(pair: Pair, right: str) -> None:
    """And nothing of Ray runs; the answer is the same."""
    assert_that_ray_is_gone(pair)
    assert pair.complete() == right


FAILURES: list[tuple[str, Callable[[Pair], None]]] = [
    ("engine killed", lambda pair: pair.kill(pair.head, "VLLM::EngineCore")),
    # As the kernel's OOM killer does.
    ("API server killed", lambda pair: pair.kill(pair.head, API)),
    ("rank killed on the head", lambda pair: pair.kill(pair.head, "VLLM::Worker")),
    ("rank killed on the worker", lambda pair: pair.kill(pair.worker, "VLLM::Worker")),
    ("engine paused", lambda pair: pair.kill(pair.head, "VLLM::EngineCore", "STOP")),
    ("API server paused", lambda pair: pair.kill(pair.head, API, "STOP")),
    ("rank paused on the worker", lambda pair: pair.kill(pair.worker, "VLLM::Worker", "STOP")),
    ("supervisor killed on the head", lambda pair: pair.kill(pair.head, "current supervisor leader")),
    ("supervisor killed on the worker", lambda pair: pair.kill(pair.worker, "current supervisor worker")),
    ("worker host rebooted", lambda pair: pair.reboot(pair.worker)),
    ("head host rebooted", lambda pair: pair.reboot(pair.head)),
    ("both rebooted, worker first", lambda pair: pair.reboot(pair.worker, pair.head)),
]


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize(("failure", "inflict"), FAILURES, ids=[failure for failure, _inflict in FAILURES])
def test_it_comes_back(pair: Pair, right: str, table: dict[str, float], failure: str, inflict: Callable[[Pair], None]) -> None:
    """Both ranks are new, and the next right answer comes in time. The service beside is not touched."""
    before, beside = pair.runs(), pair.beside()
    table[f"mp | {failure}"] = recovers(pair, right, before, pair.inflict(inflict, right), "mp")
    assert failure.startswith(("head host", "both")) or pair.beside() == beside, "the service beside was restarted"


@pytest.mark.usefixtures("serving")
def test_a_cut_network(pair: Pair, right: str, table: dict[str, float]) -> None:
    """Neither rank outlives the other. Counted from when it is whole again."""
    before = pair.runs()
    whole = pair.outlasts_a_cut(right, 20, ((pair.worker, API), (pair.worker, "VLLM::"), (pair.head, API), (pair.head, "VLLM::")))
    table["mp | network cut (from when it is whole)"] = recovers(pair, right, before, whole, "mp")


@pytest.mark.usefixtures("serving")
def test_a_follower_does_not_outlive_its_leader(pair: Pair, right: str, table: dict[str, float]) -> None:
    """With the head's unit stopped the worker's rank ends, and waits for the next leader."""
    before = pair.runs()
    pair.head.run_expect([0], "systemctl stop vllm-pair")
    wait_until(lambda: pair.count(pair.worker, API) == pair.count(pair.worker, "VLLM::") == 0, 60, "the rank has ended")
    # First why the generation ended, then what the next one waits for: both name the head.
    # Between the two, while systemd waits to start the unit again, it has no words at all.
    wait_until(lambda: "multi-head" in pair.worker.check_output("systemctl show --value --property=StatusText vllm-pair"), 60, "its status names the head")
    assert not is_new(pair, before)
    began = time.monotonic()
    pair.head.run_expect([0], "systemctl start --no-block vllm-pair")
    table["mp | leader stopped and started"] = recovers(pair, right, before, began, "mp")
