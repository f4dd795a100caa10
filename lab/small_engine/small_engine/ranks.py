# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ranks of an engine without Ray: vLLM's multiprocessing backend, on one node or on several.

Rank 0 listens on the master port. The ranks of other nodes connect to it, and each step of a request passes over these connections. A rank that has
lost another waits for ever, on both sides: so does vLLM, and only the supervisor ends that.
"""

from __future__ import annotations

import argparse
import functools
import socket

from . import answers, processes
from .channel import Channel, connect, hang, pair
from .log import log


def title(rank: int) -> str:
    """The title of a rank's process."""
    return f"VLLM::Worker_PP{rank}"


class OwnProcess:
    """The one rank of an engine on one device: it is in the engine's own process."""

    def step(self, state: bytes) -> bytes:
        """Pass a state through all ranks."""
        return answers.advance(state, 0)


class Processes:
    """Ranks in processes of their own. The engine talks to rank 0, and rank 0 to the others."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._channel, theirs = pair()
        world = world_size(options)
        processes.fork(title(0), lambda: first_rank(theirs, options, world), theirs)
        for rank in own_ranks(options)[1:]:
            processes.fork(title(rank), functools.partial(other_rank, rank, options))
        # Rank 0 sends this when all ranks are there.
        self._receive()

    def step(self, state: bytes) -> bytes:
        """Pass a state through all ranks. Raises RuntimeError when rank 0, which is on this node, has ended."""
        self._channel.send(state=state.hex())
        return bytes.fromhex(self._receive()["state"])

    def _receive(self) -> dict[str, str]:
        try:
            return self._channel.receive()
        except (EOFError, OSError):
            raise RuntimeError("Worker proc VllmWorker-0 died unexpectedly, shutting down executor.") from None


def world_size(options: argparse.Namespace) -> int:
    """How many ranks there are."""
    return int(options.tensor_parallel_size) * int(options.pipeline_parallel_size)


def own_ranks(options: argparse.Namespace) -> list[int]:
    """The ranks of this node."""
    each = world_size(options) // options.nnodes
    return list(range(options.node_rank * each, (options.node_rank + 1) * each))


def master(options: argparse.Namespace) -> tuple[str, int]:
    """Where rank 0 listens: on one node at any free port of the loopback address."""
    return (options.master_addr, options.master_port) if options.nnodes > 1 else ("127.0.0.1", 29501)


def first_rank(engine: Channel, options: argparse.Namespace, world: int) -> None:
    """Rank 0: wait for the others, then pass each state of the engine through all of them."""
    others: dict[int, Channel] = {}
    with socket.create_server(master(options)) as server:
        while len(others) < world - 1:
            channel = Channel(server.accept()[0])
            rank = channel.receive()["rank"]
            log("Worker_PP0", f"rank {rank} in world size {world} has joined", source="parallel_state.py:1")
            others[rank] = channel
    engine.send(ready=True)
    try:
        while True:
            state = answers.advance(bytes.fromhex(engine.receive()["state"]), 0)
            for rank in sorted(others):
                others[rank].send(state=state.hex())
                state = bytes.fromhex(others[rank].receive()["state"])
            engine.send(state=state.hex())
    except (EOFError, OSError):
        hang()


def other_rank(rank: int, options: argparse.Namespace) -> None:
    """Any other rank: join rank 0, and pass each of its states on."""
    channel = connect(*master(options))
    channel.send(rank=rank)
    log(f"Worker_PP{rank}", f"rank {rank} has joined {options.master_addr}:{options.master_port}", source="parallel_state.py:1")
    try:
        while True:
            channel.send(state=answers.advance(bytes.fromhex(channel.receive()["state"]), rank).hex())
    except (EOFError, OSError):
        hang()
