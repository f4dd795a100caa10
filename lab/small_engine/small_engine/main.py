# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command C(vllm): C(vllm serve), with an API server in front of the engine, or headless with the ranks of one node."""

from __future__ import annotations

import argparse
import functools
import os
import sys
import threading
import time
import typing as t

from . import VERSION, arguments, core, misbehaviour, processes, ranks, server
from .channel import Channel, pair
from .log import log, log_exception


def main() -> None:
    """Run the command. Wrong arguments end it with status 2, a failed start with 1, SIGTERM and a dead engine with 0: vLLM's own statuses."""
    parser = argparse.ArgumentParser(prog="vllm")
    arguments.add_arguments(parser.add_subparsers(dest="subparser", required=True).add_parser("serve"))
    options = parser.parse_args()
    status = misbehaviour.get("exit_at_start")
    if status is not None:
        log("APIServer", "RuntimeError: the small engine ends at its start on request", "ERROR", "api_server.py:1")
        sys.exit(status)
    try:
        arguments.check_model(options)
        if options.headless:
            headless(options)
        else:
            serve(options)
    except Exception:
        log_exception("APIServer", "api_server.py:2")
        processes.end(1)


def headless(options: argparse.Namespace) -> None:
    """Run the ranks of a node that has no API, until one of them ends."""
    processes.on_sigterm(processes.end)
    for rank in ranks.own_ranks(options):
        processes.fork(ranks.title(rank), functools.partial(ranks.other_rank, rank, options))
    threading.Thread(target=exit_on_request, daemon=True).start()
    ended = processes.CHILDREN.index(os.wait()[0])
    processes.stop_children()
    raise RuntimeError(f"Worker proc VllmWorker-{ranks.own_ranks(options)[ended]} died unexpectedly, shutting down executor.")


def serve(options: argparse.Namespace) -> None:
    """Start the engine, then serve its API until SIGTERM, or until the engine ends."""
    log("APIServer", f"vLLM API server version {VERSION}", source="api_server.py:3")
    ours, theirs = pair()
    processes.on_sigterm(processes.end)
    processes.fork("VLLM::EngineCore", lambda: core.run(theirs, options), theirs)
    stop = threading.Event()
    threading.Thread(target=exit_on_request, daemon=True).start()
    wait_for_engine(ours)
    engine = server.Engine(ours)
    http = server.make(engine, options)
    processes.on_sigterm(stop.set)
    for work in (engine.read, http.serve_forever):
        threading.Thread(target=work, daemon=True).start()
    log("APIServer", f"Starting vLLM server on http://{options.host}:{options.port}", source="launcher.py:1")
    log("APIServer", "Application startup complete.")
    while not stop.wait(0.05) and not engine.died.is_set():
        pass
    if engine.died.is_set():
        log("APIServer", "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.", "ERROR",
            "async_llm.py:1")
        time.sleep(0.2)
        os._exit(0)
    log("APIServer", "Shutting down", source="launcher.py:2")
    threading.Thread(target=http.shutdown, daemon=True).start()
    deadline = time.monotonic() + options.shutdown_timeout
    while engine.in_flight and time.monotonic() < deadline:
        time.sleep(0.05)
    processes.end()


def wait_for_engine(channel: Channel) -> None:
    """Wait until the engine is ready. Raises RuntimeError when it ends before."""
    try:
        channel.receive()
    except (EOFError, OSError):
        raise RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}") from None


def exit_on_request() -> t.NoReturn:
    """End the command at the time that the tests ask for."""
    start = time.monotonic()
    while True:
        wanted = misbehaviour.read()
        if "exit_after" in wanted and time.monotonic() - start >= wanted["exit_after"]:
            log("APIServer", "the small engine ends on request", "ERROR", "api_server.py:4")
            os._exit(wanted.get("exit_status", 0))
        time.sleep(0.1)
