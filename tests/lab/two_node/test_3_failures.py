# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real engine on Ray: one failure of each kind. molecule/multi_node inflicts all of them, on a small engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pair import Pair

# Seconds in which it is back, on two processors that have other tests to run as well; what it takes is printed.
BACK = 300


@pytest.fixture(scope="module")
def right(pair: Pair) -> str:
    """The answer before anything happened."""
    return pair.complete()


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[dict[str, float]]:
    """Prints each failure with its time at the end."""
    rows: dict[str, float] = {}
    yield rows
    print("\n" + "\n".join(f"| ray | {failure} | {seconds:.0f} s |" for failure, seconds in rows.items()))


FAILURES: list[tuple[str, Callable[[Pair], None]]] = [
    ("Ray's rank killed on the worker", lambda pair: pair.kill(pair.worker, "ray::RayWorkerProc")),
    ("worker host rebooted", lambda pair: pair.reboot(pair.worker)),
]


@pytest.mark.parametrize(("failure", "inflict"), FAILURES, ids=[failure for failure, _inflict in FAILURES])
def test_it_comes_back(pair: Pair, right: str, table: dict[str, float], failure: str, inflict: Callable[[Pair], None]) -> None:
    """What was there before is gone, and the next right answer comes in time."""
    table[failure] = pair.comes_back(right, BACK, pair.inflict(inflict, right))


def test_the_first_failure_is_kept(pair: Pair) -> None:
    """A log for each time that it fell, and none for the tries between."""
    kept = pair.head.check_output("ls /var/lib/inferops/failures/vllm-pair").split()
    assert kept
    assert "EngineCore" in pair.head.check_output("cat /var/lib/inferops/failures/vllm-pair/*/output.log")


def test_nothing_is_left_of_previous_generations(pair: Pair) -> None:
    """One process of each kind, and no shared memory but that of this generation."""
    for host, pattern in ((pair.head, "gcs_server"), (pair.head, "raylet/raylet"), (pair.worker, "raylet/raylet"), (pair.head, "VLLM::EngineCore")):
        assert pair.count(host, pattern) == 1, pattern
    sessions = pair.head.check_output("ls -d /var/lib/inferops/ray/pair/session_2*").split()
    assert len(sessions) == 1
