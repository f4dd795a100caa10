# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine's process, C(VLLM::EngineCore): it starts the ranks and passes requests through them, one after the other."""

from __future__ import annotations

import argparse
import importlib.metadata
import time
import typing as t

from . import answers, misbehaviour, processes, ranks
from .channel import Channel, hang
from .log import log, log_exception

# Tokens of a block of the KV cache.
BLOCK = 16


class Ranks(t.Protocol):
    """All ranks of the engine."""

    def step(self, state: bytes) -> bytes:
        """Pass a state through all ranks."""


def run(channel: Channel, options: argparse.Namespace) -> None:
    """Start the ranks, then answer requests of the API server."""
    log("EngineCore", f"Initializing a V1 LLM engine (v0.32.0) with config: model='{options.model_tag}'", source="core.py:1")
    time.sleep(misbehaviour.get("start_delay") or 0)
    try:
        check_memory(options)
        initialize()
        started = start(options)
    except Exception:
        log("EngineCore", "EngineCore failed to start.", "ERROR", "core.py:2")
        log_exception("EngineCore", "core.py:2")
        processes.end(1)
    log("EngineCore", "init engine (profile, create kv cache, warmup model) took 0.01 seconds", source="core.py:3")
    channel.send(ready=True)
    try:
        serve(channel, started)
    except EOFError:
        # The API server was killed. Engines of vLLM have been seen to survive that (vllm#55510).
        hang()
    except Exception:
        log("EngineCore", "EngineCore encountered a fatal error.", "ERROR", "core.py:4")
        log_exception("EngineCore", "core.py:4")
        processes.end(1)


def initialize() -> None:
    """Initialise the engine after the installed plugins have had their turn. Like vLLM, what a plugin itself raises is swallowed."""
    from vllm.v1.engine.core import EngineCore

    for plugin in importlib.metadata.entry_points(group="vllm.general_plugins"):
        try:
            plugin.load()()
        except Exception:
            log_exception("EngineCore", "plugins.py:1")
    EngineCore()._initialize_kv_caches()


def check_memory(options: argparse.Namespace) -> None:
    """Check that the KV cache has room for one request. Raises ValueError, which vLLM finds out as late as here."""
    blocks = options.num_gpu_blocks_override
    if blocks is not None and blocks * BLOCK < options.max_model_len:
        raise ValueError(
            f"To serve at least one request with the models's max seq len ({options.max_model_len}), more KV cache is needed than the available "
            f"{blocks * BLOCK} tokens. Try increasing gpu_memory_utilization or decreasing max_model_len when initializing the engine.",
        )


def start(options: argparse.Namespace) -> Ranks:
    """Start the ranks, and return when all of them are there."""
    world = ranks.world_size(options)
    if options.distributed_executor_backend == "ray":
        from .ray_ranks import RayRanks

        found = RayRanks(world)
        # Ray has its own handler.
        processes.on_sigterm(processes.end)
        return found
    return ranks.OwnProcess() if world == 1 else ranks.Processes(options)


def serve(channel: Channel, started: Ranks) -> None:
    """Answer requests until the API server ends. Raises EOFError then."""
    while True:
        request = channel.receive()
        # The engine's own counters; they stand still while it hangs.
        channel.send(running=1)
        if misbehaviour.get("device_error"):
            log("EngineCore", misbehaviour.get("device_error"), "ERROR", "core.py:5")
            hang()
        if misbehaviour.get("hang"):
            hang()
        state = started.step(request["prompt"].encode())
        channel.send(id=request["id"], text=answers.text(state, request["tokens"]), tokens=request["tokens"], prompt=request["prompt_tokens"], running=0)
