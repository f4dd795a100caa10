# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change of which the real engine dies. test_5_mp.py makes one that succeeds, and molecule/multi_node has what needs no real engine."""

from __future__ import annotations

from collections.abc import Callable

from changes import files, with_service
from lab import Play, wait_until
from pair import Pair


def test_a_failed_change_takes_both_back(pair: Pair, play: Callable[..., Play]) -> None:
    """The parser takes the argument and the engine dies of it: units and environments of both hosts are what they were, and it serves."""
    wait_until(lambda: pair.status().startswith("serving"), 300, f"it serves: {pair.status()}")
    right, before, beside = pair.complete(), files(pair), pair.beside()
    # A cache of one block has no room for a request of the full context, which the engine finds out when it has loaded the model.
    done = play(variables=with_service("two_node_pair", pair, vllm_args={**pair.service["vllm_args"], "num_gpu_blocks_override": 1}))
    assert done.status != 0 and "healthy again" in done.output, done.output[-3000:]
    assert files(pair) == before
    assert pair.complete() == right
    assert pair.beside() == beside, "the model beside was restarted"
