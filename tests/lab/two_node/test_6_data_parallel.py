# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Data parallel over hosts by vLLM's own launcher: a change to one rank on each host; both work, and both restart together."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from changes import with_service
from lab import Play, wait_until
from pair import Pair

BACK = 300


@pytest.fixture(scope="module")
def right(pair: Pair, play: Callable[..., Play]) -> str:
    """The answer with pipeline stages; then the service is changed over, on both hosts."""
    wait_until(lambda: pair.status().startswith("serving"), 300, f"it serves: {pair.status()}")
    answer = pair.complete()
    arguments = {
        **pair.service["vllm_args"], "max_model_len": 1024, "data_parallel_size": 2, "api_server_count": 1, "max_num_seqs": 8,
    }
    done = play(variables={**with_service("two_node_pair", pair, vllm_args=arguments), "two_node_backend": "mp"})
    assert done.status == 0, done.output[-3000:]
    print(f"a change of both hosts took {done.seconds:.0f} s")
    return answer


def tokens(pair: Pair) -> dict[str, float]:
    """How many tokens each rank has generated."""
    with urllib.request.urlopen(f"{pair.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {rank: float(count) for rank, count in re.findall(r'^vllm:generation_tokens_total\{engine="(\d+)".*\} (\S+)$', text, re.MULTILINE)}


def test_each_host_has_a_rank(pair: Pair, right: str) -> None:
    """The answer is that of one copy of the model, and the API on the head distributes requests over both."""
    assert pair.complete() == right
    assert pair.count(pair.head, "VLLM::Worker_DP0") == pair.count(pair.worker, "VLLM::Worker_DP1") == 1
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _number: pair.complete(), range(8))) == [right] * 8
    found = tokens(pair)
    assert sorted(found) == ["0", "1"] and all(found.values()), found


def test_it_comes_back_from_a_killed_rank(pair: Pair, right: str) -> None:
    """Both hosts restart."""
    before = pair.runs()
    began = pair.inflict(lambda pair: pair.kill(pair.worker, "VLLM::Worker_DP1"), right)
    seconds = pair.comes_back(right, BACK, began)
    print(f"\n| mp, data parallel | a rank killed on the worker | {seconds:.0f} s |")
    after = pair.runs()
    assert all(after[unit] != before[unit] for unit in before), "a rank has outlived the others"
