# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hub and the other parts of a service over several hosts have in common: a program to look after, and events to wait for."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import queue
import signal
import socket
import time
import traceback
import typing as t

from .. import _exit_status
from . import probe, process, ranks, state, threads, transport
from .connection import BEAT_SECONDS, Link, one_line

# Variables that are this process's own and nobody else's.
OWN_VARIABLES = ("SPAN_TOKEN", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "MAINPID", "LISTEN_FDS", "LISTEN_PID")
# The part that is an engine beside Ray's head, not a node.
ENGINE = "engine"
# A program that ends with this says that its arguments are wrong: they stay so, and systemd does not try again.
WRONG_ARGUMENTS = 2
LOOK_SECONDS = 0.5
MOST_BACKOFF_SECONDS = 300.0
LAST_WORDS_SECONDS = 3.0
# Seconds before a try where nothing can be kept of those before it: how many have failed is not known then.
UNKEPT_BACKOFF_SECONDS = 30.0


@dataclasses.dataclass
class Event:
    """Something that happened, told by another thread. C(name) is whom it is about where that is no part of the service."""

    kind: str
    link: Link | None = None
    message: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    text: str = ""
    status: int = 0
    name: str = ""


class Ended(Exception):
    """This life is over. C(status) is the exit status; 0 when this part was asked to stop."""

    def __init__(self, reason: str, status: int = 1, count: bool = True, asked: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        # Whether the life failed because of its own program, which makes the next one wait longer.
        self.count = count
        # Whether it began with somebody who asked a part to stop, as for a change or a reboot: no failure.
        self.asked = asked or status == 0


class Part:
    """A part of a service: its program, its state, its events. Everything but the threads' own waiting happens in the main thread."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.token = os.environ.get("SPAN_TOKEN", "")
        # A signal's handler puts as well, in the middle of whatever the main thread does: a Queue's lock would be held by that thread itself.
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.threads = threads.Threads()
        self.state = state.State(os.environ.get("RUNTIME_DIRECTORY", ""), options.failures)
        self.transport = transport.Transport()
        self.process = process.Process(options.command, self.environment())
        self.is_ready = False
        # The engine's ranks among the program's processes, once the service serves.
        self.ranks: dict[ranks.Rank, str] = {}
        # Why the engine may be about to die.
        self.doubt = ""
        self._beaten = 0.0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda given, frame: self.events.put(Event("signal", status=given)))

    def run(self) -> int:
        """Live one life; return the exit status."""
        try:
            self.live()
        except Ended as ended:
            return self.end(ended)
        except Exception as error:  # pylint: disable=broad-exception-caught  # Whatever it is, the program does not outlive its supervisor.
            traceback.print_exc()
            return self.end(Ended(f"the supervisor itself has failed: {type(error).__name__}: {error}"))
        raise AssertionError("nothing ends a life but an exception")

    def end(self, ended: Ended) -> int:
        """End this life: tell the other parts, stop the program, and return the exit status."""
        self.tell_end(ended)
        return self.finish(ended)

    def live(self) -> None:
        """Live one life. Raises Ended."""
        raise NotImplementedError

    def tell_end(self, ended: Ended) -> None:
        """Say to the other parts that this life is over."""
        raise NotImplementedError

    # What is run

    def environment(self) -> dict[str, str]:
        """The program's environment: this one's without what is its own; for Ray with the token under Ray's name for it."""
        found = {name: value for name, value in os.environ.items() if name not in OWN_VARIABLES}
        if found.get("RAY_AUTH_MODE") == "token":
            found["RAY_AUTH_TOKEN"] = self.token
        return found

    def start(self) -> None:
        """Start the program; see to it that it is waited for, and, of an engine, asked for completions."""
        for folder in self.options.clean:
            state.empty(folder)
        # Engine and ranks meet there. It lies in the service's own cache, where root makes nothing.
        if os.environ.get("VLLM_RPC_BASE_PATH"):
            os.makedirs(os.environ["VLLM_RPC_BASE_PATH"], mode=0o750, exist_ok=True)
        self.withhold()
        self.process.start(self.threads, self.on_line, lambda status: self.events.put(Event("exit", status=status)))
        self.threads.start("asks the program how it is", self.watch)

    def withhold(self) -> None:
        """Keep secrets on this host: vLLM hands its whole environment on to the ranks of other hosts, but for what this file of its names."""
        folder = os.environ.get("VLLM_CONFIG_ROOT", "")
        if not folder or not self.options.withhold:
            return
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "ray_non_carry_over_env_vars.json"), "w", encoding="utf-8") as file:
            json.dump(sorted({*self.options.withhold, "RAY_AUTH_TOKEN", *OWN_VARIABLES}), file)

    def on_line(self, line: str) -> None:
        """Read what the program says about NCCL."""
        if self.transport.read(line):
            self.events.put(Event("transport"))

    def watch(self, worker: threads.Worker) -> None:
        """Tell when the program is ready; of an engine go on, and tell when it is dead. Runs in a thread of its own."""
        options = self.options
        # Each answer may trickle in, timeout after timeout; a bound for all of it is this thread's sign of life.
        bound = 10 * (options.probe_timeout + options.probe_interval)
        if options.ready_port:
            address, _colon, port = options.ready_port.rpartition(":")
            self.until(lambda: answers(address.strip("[]"), int(port)), worker, bound)
        if not options.engine:
            self.events.put(Event("ready"))
            return
        key = os.environ.get("VLLM_API_KEY", "")
        engine = probe.Engine(options.engine, options.model, key, options.probe_timeout, options.patience, task=options.task)
        self.until(engine.is_up, worker, bound)
        while self.process.runs:
            worker.promise(bound)
            verdict, why = engine.look()
            self.events.put(Event({probe.WELL: "ready", probe.DEAD: "dead"}.get(verdict, "doubt"), text=why))
            time.sleep(options.probe_interval if verdict == probe.WELL else min(5.0, options.probe_interval))

    def until(self, met: t.Callable[[], bool], worker: threads.Worker, bound: float) -> None:
        """Wait for something, for as long as the program runs, a look taking C(bound) seconds at most."""
        while self.process.runs:
            worker.promise(bound)
            if met():
                return
            time.sleep(LOOK_SECONDS)

    # What happens

    def wait(self, met: t.Callable[[], bool], seconds: float | None, late: t.Callable[[], str]) -> None:
        """Handle events until something is met. Raises Ended, also when that takes longer than C(seconds), with the reason of C(late)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not met():
            if deadline is not None and time.monotonic() >= deadline:
                raise Ended(late())
            self.tick()
            try:
                event = self.events.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            self.handle(event)

    def tick(self) -> None:
        """What is due now and then. Raises Ended."""
        trouble = self.threads.trouble()
        if trouble:
            raise Ended(trouble)
        fallen = ranks.gone(self.ranks)
        if fallen:
            raise Ended(f"{fallen} has ended")
        if time.monotonic() - self._beaten >= BEAT_SECONDS:
            self._beaten = time.monotonic()
            self.state.beat()
            # A start takes as long as it takes: its bounds are this program's own.
            state.notify("EXTEND_TIMEOUT_USEC=120000000")
            self.beat()

    def serve(self, text: str) -> None:
        """Say that the service serves, and watch over its ranks from then on."""
        if not self.ranks:
            self.ranks = ranks.find()
        self.state.serves(text)

    def beat(self) -> None:
        """A sign of life to the other parts."""
        raise NotImplementedError

    def handle(self, event: Event) -> None:
        """Handle an event. Raises Ended."""
        if event.kind == "signal":
            raise Ended("it was asked to stop", 0, count=False)
        if event.kind == "exit":
            # An engine that dies ends with status 0, which is no success.
            raise Ended(f"{self.what} {_exit_status.describe(event.status)}", WRONG_ARGUMENTS if event.status == WRONG_ARGUMENTS else 1)
        if event.kind == "dead":
            raise Ended(f"{self.what} is dead: {one_line(event.text)}")
        if event.kind == "ready":
            self.is_ready = True
            self.doubt = ""
        if event.kind == "doubt":
            self.doubt = one_line(event.text)

    @property
    def what(self) -> str:
        """The program, for people."""
        return self.options.what

    def back_off(self) -> None:
        """Wait before the next try when one after the other has failed: twice as long each time."""
        if self.state.failed > 1:
            seconds = min(MOST_BACKOFF_SECONDS, 2.5 * 2 ** min(self.state.failed, 10))
            self.say(f"starting: {self.state.failed} tries have failed, the next one begins in {seconds:.0f} s")
        elif not self.state.can_keep():
            seconds = UNKEPT_BACKOFF_SECONDS
            self.say(f"starting: nothing can be kept of former tries, this one begins in {seconds:.0f} s")
        else:
            return
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, None, str)

    def say(self, text: str) -> None:
        """Say how it stands."""
        self.state.say(text)

    def finish(self, ended: Ended) -> int:
        """Stop the program, keep the log of a failure, and return the exit status."""
        if self.process.was_started:
            # A program that has failed has no requests in flight that could be finished: it is only left the time to say what it has to say.
            self.process.stop(self.options.stop_timeout if ended.status == 0 else min(LAST_WORDS_SECONDS, self.options.stop_timeout))
        if ended.status == 0:
            self.say(f"stopped: {ended.reason}")
            return 0
        text = f"{'stopped' if ended.asked else 'failed'}: {ended.reason}"
        if not ended.asked and self.process.was_started:
            kept = self.state.fail(ended.reason, self.process.output(), self.options.logs, ended.count)
            text += f" (log of the first failure: {kept})" if kept else ""
        self.say(text)
        return ended.status


def answers(address: str, port: int) -> bool:
    """Whether somebody listens on a port."""
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True
