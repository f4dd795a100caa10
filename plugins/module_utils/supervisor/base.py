# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the leader and the workers of a multi-node service have in common: a program to supervise, and events to handle."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import queue
import signal
import socket
import threading
import time
import traceback
import typing as t

from .. import _exit_status
from . import device_errors, gpus, probe, process, processes, progress, ranks, stacks, state, threads, transport
from .connection import HEARTBEAT_SECONDS, Connection, one_line

# Environment variables of this process alone.
OWN_VARIABLES = ("SUPERVISOR_TOKEN", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "MAINPID", "LISTEN_FDS", "LISTEN_PID")
# The name of the worker that is not a node: the engine beside Ray's head node.
ENGINE = "engine"
# Exit status of a program with wrong arguments. A restart would not help, so systemd does not restart it.
WRONG_ARGUMENTS = 2
LOOK_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 300.0
LAST_WORDS_SECONDS = 3.0
# Seconds before a start when the state cannot be saved: the supervisor then does not know how many starts have failed.
UNSAVED_BACKOFF_SECONDS = 30.0
# Seconds between checks of GPUs that must not be used: at first, doubled each time, and at most. A GPU may only need the seconds after a boot.
GPU_LOOK_SECONDS = 5.0
MAX_GPU_LOOK_SECONDS = 60.0
# Seconds after which a look at GPUs is repeated before the program starts.
GPU_FRESH_SECONDS = 15.0


@dataclasses.dataclass
class Event:
    """Something that another thread reports. C(name) is the sender's name when it is not a worker of the service."""

    kind: str
    connection: Connection | None = None
    message: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    text: str = ""
    status: int = 0
    name: str = ""
    # What the status line shows beside the text, and the journal does not repeat each time it changes: a percentage or a time, and an engine's requests.
    detail: str = ""
    load: str = ""


class Ended(Exception):
    """This generation has ended. C(status) is the exit status; 0 when this unit was stopped on request."""

    def __init__(self, reason: str, status: int = 1, count: bool = True, requested: bool = False, hangs: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        # Whether the program is there and makes no progress: then what it waits for is recorded before it is stopped.
        self.hangs = hangs
        self.status = status
        # Whether this is a failure of the unit's own program; then the next generation backs off longer.
        self.count = count
        # Whether somebody stopped a unit of the service, for example for a change or a reboot: not a failure.
        self.requested = requested or status == 0


class Supervisor:
    """Supervises the program of one unit. The main thread acts; other threads only wait and put events into its queue."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.token = os.environ.get("SUPERVISOR_TOKEN", "")
        # A signal handler puts events too. It interrupts the main thread, which might hold the lock of a queue.Queue: that would be a deadlock.
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.threads = threads.Threads()
        self.state = state.State(os.environ.get("RUNTIME_DIRECTORY", ""), options.failures)
        self.transport = transport.Transport()
        self.process = process.Process(options.command, self.environment())
        # Whether this generation has tried to start the program.
        self.was_attempted = False
        self.is_ready = False
        # The engine's ranks among the program's processes; known when the service serves.
        self.ranks = ranks.Ranks()
        # Why the engine may be about to fail, and what changes about that with each probe.
        self.warning = ""
        self.warning_detail = ""
        # The engine's running and waiting requests, for the status.
        self.load = ""
        # An error of a GPU that the engine has printed; the next probe decides what it means.
        self.device_error = ""
        # Set when there is something to probe at once.
        self.probe_now = threading.Event()
        self._last_heartbeat = 0.0
        # When the GPUs were last looked at.
        self._gpus_seen = 0.0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda given, frame: self.events.put(Event("signal", status=given)))

    def run(self) -> int:
        """Run one generation; return the exit status."""
        try:
            self.run_generation()
        except Ended as ended:
            return self.end(ended)
        except Exception as error:  # pylint: disable=broad-exception-caught  # The program must not outlive its supervisor.
            traceback.print_exc()
            return self.end(Ended(f"the supervisor itself has failed: {type(error).__name__}: {error}"))
        raise AssertionError("only an exception ends a generation")

    def end(self, ended: Ended) -> int:
        """End this generation: announce that, stop the program, and return the exit status."""
        self.announce_end(ended)
        return self.finish(ended)

    def run_generation(self) -> None:
        """Run one generation. Raises Ended."""
        raise NotImplementedError

    def announce_end(self, ended: Ended) -> None:
        """Tell the other supervisors of the service that this generation has ended."""
        raise NotImplementedError

    # The program

    def environment(self) -> dict[str, str]:
        """The program's environment: that of this process without its own variables; for Ray with the token in Ray's own variable."""
        found = {name: value for name, value in os.environ.items() if name not in OWN_VARIABLES}
        if found.get("RAY_AUTH_MODE") == "token":
            found["RAY_AUTH_TOKEN"] = self.token
        # Python then prints the stacks of its threads on a crash, and when the supervisor asks for them (stacks.py).
        found.setdefault("PYTHONFAULTHANDLER", "1")
        return found

    def start(self) -> None:
        """Start the program, wait for its end in a thread, and probe an engine with completions. Raises Ended when it cannot be started."""
        self.was_attempted = True
        try:
            self.start_program()
        except OSError as error:
            raise Ended(f"{self.what} cannot be started: {one_line(str(error))}") from error
        self.threads.start("probes the program", self.watch)

    def start_program(self) -> None:
        """Prepare its directories and start the program. Raises OSError."""
        for folder in self.options.clean:
            state.empty(folder)
        # The directory for the sockets of engine and ranks. It is in the service's own cache, where root creates nothing.
        if os.environ.get("VLLM_RPC_BASE_PATH"):
            os.makedirs(os.environ["VLLM_RPC_BASE_PATH"], mode=0o750, exist_ok=True)
        self.withhold()
        self.process.start(self.threads, self.on_line, lambda status: self.events.put(Event("exit", status=status)))

    def withhold(self) -> None:
        """Keep secrets on this host: vLLM copies its environment to the ranks on other hosts, except the variables that this file lists."""
        folder = os.environ.get("VLLM_CONFIG_ROOT", "")
        if not folder or not self.options.withhold:
            return
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "ray_non_carry_over_env_vars.json"), "w", encoding="utf-8") as file:
            json.dump(sorted({*self.options.withhold, "RAY_AUTH_TOKEN", *OWN_VARIABLES}), file)

    def on_line(self, line: str) -> None:
        """Read NCCL's transport, errors of a GPU and the progress of the start from the program's output."""
        if self.transport.read(line):
            self.events.put(Event("transport"))
        error = device_errors.read(line)
        if error and not self.device_error:
            self.device_error = error
            self.probe_now.set()
        if not self.is_ready:
            found = progress.read(line)
            if found is not None:
                self.events.put(Event("progress", text=found.stage, detail=found.text))

    def watch(self, heartbeat: threads.Heartbeat) -> None:
        """Report when the program is ready; then probe an engine, and report when it is dead. Runs in its own thread."""
        options = self.options
        # An answer that trickles in never exceeds a socket timeout; this thread's heartbeat limits the total time.
        bound = 10 * (options.probe_timeout + options.probe_interval)
        if options.ready_port:
            address, _colon, port = options.ready_port.rpartition(":")
            self.until(lambda: answers(address.strip("[]"), int(port)), heartbeat, bound)
        if not options.engine:
            self.events.put(Event("ready"))
            return
        key = os.environ.get("VLLM_API_KEY", "")
        engine = probe.Engine(
            options.engine, options.model, key, options.probe_timeout, options.liveness_timeout, time.monotonic, options.task, processes.cpu_seconds,
        )
        self.until(engine.is_up, heartbeat, bound)
        while self.process.runs:
            heartbeat.beat(bound)
            self.probe_now.clear()
            error = self.device_error
            verdict, why = engine.look(error)
            if error and verdict == probe.WELL:
                # It answers in spite of it; the next one is looked into again.
                self.device_error = ""
            kind = {probe.WELL: "ready", probe.DEAD: "dead"}.get(verdict, "warning")
            self.events.put(Event(kind, text=why, detail=engine.due, load=engine.load))
            self.probe_now.wait(options.probe_interval if verdict == probe.WELL else min(5.0, options.probe_interval))

    def until(self, met: t.Callable[[], bool], heartbeat: threads.Heartbeat, bound: float) -> None:
        """Wait for a condition while the program runs; one check takes C(bound) seconds at most."""
        while self.process.runs:
            heartbeat.beat(bound)
            if met():
                return
            time.sleep(LOOK_SECONDS)

    # Events

    def wait(self, met: t.Callable[[], bool], seconds: float | None, late: t.Callable[[], str], count: bool = True) -> None:
        """Handle events until a condition is met. Raises Ended; after C(seconds) with the reason that C(late) returns, and C(count) (see Ended)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not met():
            if deadline is not None and time.monotonic() >= deadline:
                raise Ended(late(), count=count)
            self.tick()
            try:
                event = self.events.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            self.handle(event)

    def pause(self, seconds: float) -> None:
        """Handle events for some seconds. Raises Ended."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, None, str)

    def tick(self) -> None:
        """Check threads and ranks, and send heartbeats when they are due. Raises Ended."""
        trouble = self.threads.trouble()
        if trouble:
            raise Ended(trouble)
        gone = self.ranks.gone()
        if gone:
            raise Ended(f"{gone} has ended")
        stopped = self.ranks.stopped(self.process.pid)
        if stopped:
            raise Ended(f"{stopped} has been stopped (SIGSTOP) for {ranks.STOPPED_SECONDS:.0f} s", hangs=True)
        if time.monotonic() - self._last_heartbeat >= HEARTBEAT_SECONDS:
            self._last_heartbeat = time.monotonic()
            self.state.feed_watchdog()
            # The supervisor itself limits how long a start may take.
            state.notify("EXTEND_TIMEOUT_USEC=120000000")
            self.send_heartbeat()

    def report_serving(self, text: str) -> None:
        """Report that the service serves, and watch its ranks from then on."""
        self.ranks.find()
        self.state.report_serving(text, ", ".join(filter(None, (text, self.load, self.warning_detail))))

    def send_heartbeat(self) -> None:
        """Send a heartbeat to the other side."""
        raise NotImplementedError

    def handle(self, event: Event) -> None:
        """Handle an event. Raises Ended."""
        if event.kind == "signal":
            raise Ended("it was stopped on request", 0, count=False)
        if event.kind == "exit":
            # A failed engine may exit with status 0, which is not a success.
            raise Ended(f"{self.what} {_exit_status.describe(event.status)}", WRONG_ARGUMENTS if event.status == WRONG_ARGUMENTS else 1)
        if event.kind == "dead":
            raise Ended(f"{self.what} is dead: {one_line(event.text)}", hangs=True)
        if event.kind in ("ready", "warning"):
            self.is_ready = self.is_ready or event.kind == "ready"
            if event.kind == "ready" and self.options.engine:
                self.state.note_answer()
            self.warning, self.warning_detail, self.load = one_line(event.text), event.detail, event.load

    @property
    def what(self) -> str:
        """The program's name in messages."""
        return self.options.what

    def back_off(self) -> None:
        """Wait before this start when the previous ones have failed: twice as long each time."""
        if self.state.failed > 1:
            seconds = min(MAX_BACKOFF_SECONDS, 2.5 * 2 ** min(self.state.failed, 10))
            self.report(f"starting: {self.state.failed} starts have failed, the next attempt starts in {seconds:.0f} s")
        elif not self.state.can_save():
            seconds = UNSAVED_BACKOFF_SECONDS
            self.report(f"starting: the state of previous starts cannot be saved, this attempt starts in {seconds:.0f} s")
        else:
            return
        self.pause(seconds)

    def await_gpus(self) -> None:
        """Wait until the unit's GPUs may be used. That is no failed start; afterwards earlier failures do not count, since the GPU may have caused them."""
        seconds = GPU_LOOK_SECONDS
        while True:
            found = self.look_at_gpus()
            if not found:
                return
            self.report(f"not starting: {found}")
            self.state.forget_failed()
            self.pause(seconds)
            seconds = min(MAX_GPU_LOOK_SECONDS, 2 * seconds)

    def recheck_gpus(self) -> None:
        """Look at the GPUs again when much time has passed since the generation began, as while it backed off. Raises Ended; the next generation waits."""
        if time.monotonic() - self._gpus_seen > GPU_FRESH_SECONDS:
            found = self.look_at_gpus()
            if found:
                raise Ended(found, count=False)

    def look_at_gpus(self) -> str:
        """Return why the unit's GPUs must not be used, and the fix; empty when they may. GPUs that cannot be looked at do not prevent a start."""
        look = gpus.Look(gpus.named(self.options.gpus, self.process.environment))
        self.wait(look.is_done, None, str)
        found, failed = look.result(self.options.accept_gpu)
        if failed:
            print(f"the health of the GPUs is unknown: {one_line(failed)}", flush=True)
        self._gpus_seen = time.monotonic()
        return gpus.sentence(found) if found else ""

    def report(self, text: str) -> None:
        """Report the status, to systemd and to the journal."""
        self.state.report(text)

    def finish(self, ended: Ended) -> int:
        """Stop the program, keep the log of a failure, and return the exit status."""
        # The GPUs as they are before anything is ended.
        gpus = stacks.GpuState() if self.process.was_started and not ended.requested else None
        if ended.hangs and self.process.runs:
            self.report(f"failed: {ended.reason}; recording the stacks of its threads")
            stacks.dump([*self.ranks.pids(), self.process.pid])
        if self.process.was_started:
            # A failed program cannot finish requests: it only gets the time to print its last lines.
            self.process.stop(self.options.stop_timeout if ended.status == 0 else min(LAST_WORDS_SECONDS, self.options.stop_timeout))
        if ended.status == 0:
            # Whoever stopped it may have removed the cause of earlier failures, for example with a change: the next start does not back off.
            self.state.forget_failed()
            self.report(f"stopped: {ended.reason}")
            return 0
        text = f"{'stopped' if ended.requested else 'failed'}: {ended.reason}"
        # A program that could not be started has failed as well: without a count the next generation would not back off.
        if not ended.requested and self.was_attempted:
            kept = self.state.keep_failure(
                ended.reason, self.process.output(), self.options.logs, ended.count, {"nvidia-smi.log": gpus.text() if gpus is not None else ""},
            )
            text += f" (log of the first failure: {kept})" if kept else ""
        self.report(text)
        return ended.status


def answers(address: str, port: int) -> bool:
    """Whether a program listens on a port."""
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True
