# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change that succeeds, to vLLM's own processes and another argument: Ray's units go, the answers stay, and it comes back as it does on Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from changes import assert_that_ray_is_gone, with_service
from lab import Play, wait_until
from pair import Pair

BACK = 300

# vLLM's own command, and not its supervisor, which has it among its arguments.
VLLM = "bin/python[0-9.]* /opt/inferops/releases/"


@pytest.fixture(scope="module")
def right(pair: Pair, play: Callable[..., Play]) -> str:
    """The answer on Ray; then the service is changed over, on both hosts, and the one beside is not touched."""
    wait_until(lambda: pair.status().startswith("serving"), 300, f"it serves: {pair.status()}")
    answer, before, beside = pair.complete(), pair.runs(), pair.beside()
    variables = with_service("two_node_pair", pair, vllm_args={**pair.service["vllm_args"], "max_model_len": 1024})
    done = play(variables={**variables, "two_node_backend": "mp"})
    assert done.status == 0, done.output[-3000:]
    after = pair.runs()
    assert all(after[unit] != before.get(unit) for unit in after)
    assert pair.beside() == beside, "the model beside was restarted"
    print(f"a change of both hosts took {done.seconds:.0f} s")
    return answer


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[dict[str, float]]:
    """Prints each failure with its time at the end."""
    rows: dict[str, float] = {}
    yield rows
    print("\n" + "\n".join(f"| mp | {failure} | {seconds:.0f} s |" for failure, seconds in rows.items()))


def test_the_units_of_ray_are_gone(pair: Pair, right: str) -> None:
    """And nothing of Ray runs; the answer is the same."""
    assert_that_ray_is_gone(pair)
    assert pair.complete() == right


def test_it_comes_back_from_a_killed_engine(pair: Pair, right: str, table: dict[str, float]) -> None:
    """Both ranks are new, and the next right answer comes in time."""
    before = pair.runs()
    began = pair.inflict(lambda pair: pair.kill(pair.head, "VLLM::EngineCore"), right)
    table["engine killed"] = pair.comes_back(right, BACK, began)
    after = pair.runs()
    assert all(after[unit] != before[unit] for unit in before), "a rank has outlived the others"


def test_a_cut_network(pair: Pair, right: str, table: dict[str, float]) -> None:
    """Neither rank outlives the other, in a cut that is longer than the heartbeat timeout. Counted from when it is whole again."""
    whole = pair.outlasts_a_cut(right, 30, ((pair.worker, VLLM), (pair.head, VLLM)))
    table["network cut (from when it is whole)"] = pair.comes_back(right, BACK, whole)
