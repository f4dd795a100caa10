# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes of a multi-node service on Ray: both hosts change, or neither; and what is refused before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from changes import assert_that_nothing_is_left_to_do, files, with_service
from lab import Play
from pair import Pair
from testinfra.host import Host

pytestmark = pytest.mark.usefixtures("serving")
NAME = "pair_service"


def test_a_second_run_changes_nothing(pair: Pair, play: Callable[..., Play]) -> None:
    """And restarts nothing."""
    assert_that_nothing_is_left_to_do(pair, play)


def test_a_failed_change_takes_both_back(pair: Pair, play: Callable[..., Play], right: str, table: dict[str, float]) -> None:
    """The parser takes the argument and the engine dies of it: units and environments of both hosts are what they were, and it serves."""
    before, beside = files(pair), pair.beside()
    done = play(variables=with_service(NAME, pair, vllm_args={**pair.service["vllm_args"], "num_gpu_blocks_override": 1}))
    assert done.status != 0 and "healthy again" in done.output, done.output[-3000:]
    assert files(pair) == before
    assert pair.complete() == right
    assert pair.beside() == beside, "the service beside was restarted"
    table["ray | play: a change that fails and rolls back"] = done.seconds


def test_a_failed_change_of_backend_restores_rays_units(pair: Pair, play: Callable[..., Play], right: str, table: dict[str, float]) -> None:
    """Ray's units of both hosts are what they were, and serve; nothing of mp is left on the worker."""
    before, beside, units = files(pair), pair.beside(), [pair.units(host) for host in (pair.head, pair.worker)]
    keys = {"distributed": {**pair.service["distributed"], "backend": "mp"}, "vllm_args": {**pair.service["vllm_args"], "num_gpu_blocks_override": 1}}
    done = play(variables=with_service(NAME, pair, **keys))
    assert done.status != 0 and "healthy again" in done.output, done.output[-3000:]
    assert files(pair) == before and [pair.units(host) for host in (pair.head, pair.worker)] == units
    assert pair.complete() == right
    assert pair.beside() == beside, "the service beside was restarted"
    table["ray | play: a change to mp that fails and rolls back"] = done.seconds


def test_a_change_is_on_both(pair: Pair, play: Callable[..., Play], right: str, table: dict[str, float]) -> None:
    """Another argument: all units are new, and the answer is the same."""
    before, beside = pair.runs(), pair.beside()
    done = play(variables=with_service(NAME, pair, vllm_args={**pair.service["vllm_args"], "max_model_len": 1024}))
    assert done.status == 0, done.output[-3000:]
    after = pair.runs()
    assert set(after) == set(before) and all(after[unit] != before[unit] for unit in after)
    assert pair.complete() == right
    assert pair.beside() == beside, "the service beside was restarted"
    table["ray | play: a change of both hosts"] = done.seconds


def test_what_the_head_refuses_is_on_no_host(pair: Pair, play: Callable[..., Play]) -> None:
    """Arguments are checked with the engine's parser on the head alone; what that refuses is not written on the worker either."""
    before, runs = files(pair), pair.runs()
    done = play(variables=with_service(NAME, pair, vllm_args={**pair.service["vllm_args"], "hf_overrides": "{not json"}))
    assert done.status != 0 and "pair: multi-head failed in this run" in done.said, done.output[-3000:]
    assert files(pair) == before and pair.runs() == runs


def test_a_part_of_the_hosts_is_refused(pair: Pair, play: Callable[..., Play]) -> None:
    """With the limit to write."""
    before = pair.runs()
    done = play("--limit", "multi-worker")
    assert done.status != 0 and "multi-head is not in this run" in done.output and "-l multi-head,multi-worker" in done.output
    assert pair.runs() == before


@pytest.fixture
def shut(pair: Pair) -> Iterator[Host]:
    """The worker cannot reach the head's port of Ray."""
    pair.head.run_expect([0], "iptables --insert INPUT --protocol tcp --dport 6507:6640 --jump DROP")
    yield pair.head
    pair.head.run_expect([0], "iptables --delete INPUT --protocol tcp --dport 6507:6640 --jump DROP")


@pytest.mark.usefixtures("shut")
def test_a_worker_that_cannot_reach_the_head(pair: Pair, play: Callable[..., Play]) -> None:
    """Told with both names and the ports, before any unit is touched."""
    before = pair.runs()
    done = play(variables=with_service(NAME, pair, distributed={"nodes": 2, "port": 6507}))
    assert done.status != 0 and "multi-worker to multi-head" in done.output and "these ports do not answer: 65" in done.output, done.output[-3000:]
    assert pair.runs() == before


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("interface", {"distributed": {"nodes": 2, "interface": "eth7"}}, "no network interface of this name"),
    ("three nodes", {"distributed": {"nodes": 3}}, "1 more is missing"),
    ("GPUs", {"vllm_args": {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}}, "is 4 GPUs and the service has 2"),
    ("transport", {"distributed": {"nodes": 2, "transport": "token-ring"}}, "there is no such transport"),
    ("RDMA", {"distributed": {"nodes": 2, "transport": "roce"}}, "needs an RDMA device that is active"),
]


@pytest.mark.parametrize(("keys", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input(pair: Pair, play: Callable[..., Play], keys: dict[str, Any], words: str) -> None:
    """One clear error each, before any unit is touched."""
    before = pair.runs()
    done = play(variables=with_service(NAME, pair, **keys))
    assert done.status != 0 and words in done.said, done.output[-3000:]
    assert pair.runs() == before
