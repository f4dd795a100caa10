# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The supervised programs: Ray's head, Ray's workers, the engine, ranks, and the check of Ray's nodes. Each becomes ready, hangs or dies as its host has it."""

from __future__ import annotations

import collections
import itertools
import json
import signal
from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils import _openai_api

from .network import Listener, os_error
from .scheduler import Thread

RAY_HEAD, RAY_WORKER, ENGINE, RANK, CHECK = "ray-head", "ray-worker", "engine", "rank", "check"
# Ports that programs listen on once they are ready, and seconds until then.
PORTS = {RAY_HEAD: 6379, RAY_WORKER: 6381}
START_SECONDS = {RAY_HEAD: 1.0, RAY_WORKER: 0.7, ENGINE: 3.0, RANK: 1.0}
LOOK_SECONDS = 0.5
ANSWER_SECONDS = 0.05

_PIDS = itertools.count(100_000)


class Program:
    """A program of a unit, with the methods of C(subprocess.Popen) that the product uses. C(generation) is the leader's that had it started."""

    def __init__(self, unit: Any, kind: str, generation: str) -> None:
        self.world = unit.world
        self.unit = unit
        self.host = unit.host
        self.kind = kind
        self.generation = generation
        self.digest = unit.started_digest
        self.pid = next(_PIDS)
        self.alive = True
        self.status = 0
        # Whether it failed by itself: that is its own failure, whatever its supervisor reports.
        self.failed = False
        self.is_ready = False
        self.hangs = False
        self.errors = False
        # The programs that an engine runs with, once it is up.
        self.group: list[Program] = []
        self.stdout = self
        self._tokens = 0
        self._is_asked_to_end = False
        self._ranks: list[int] = []
        self._listener: Listener | None = None
        self._lines: collections.deque[bytes] = collections.deque()
        self._output_ends = False
        self._readers: list[Thread] = []
        self.host.add_process(self.pid, unit.process.pid, kind)
        self.write(f"{kind} starts")
        if self.host.has("crashes"):
            self._later(0.5 + 2 * self.world.random(), self.fail, 1)
        if self.host.has("wrong_arguments") and kind in (ENGINE, RANK):
            self._later(0.5, self.fail, 2)
        if kind == CHECK or not self.host.has("never_ready"):
            self._later(START_SECONDS[kind], self._become_ready)

    def _later(self, seconds: float, call: Any, *arguments: Any) -> None:
        self.world.scheduler.after(seconds, lambda: call(*arguments) if self.alive and self.host.is_up else None)

    # Its life

    def _become_ready(self) -> None:
        if self.kind == ENGINE or (self.kind == RANK and self.unit.is_head):
            group = self.world.group_of(self)
            if group is None or self.host.has("never_ready"):
                self._later(LOOK_SECONDS, self._become_ready)
                return
            self.group = group
            for program in {self, *group}:
                program.start_rank()
        elif self.kind in PORTS:
            try:
                self._listener = self.world.network.listen(None, self.host, PORTS[self.kind])
            except OSError:
                self.fail(1)
                return
        self.is_ready = True
        self.write(f"{self.kind} is ready")

    def start_rank(self) -> None:
        """A process of the engine appears under this program."""
        if self.kind != ENGINE:
            pid = next(_PIDS)
            self._ranks.append(pid)
            self.host.add_process(pid, self.pid, "ray::RayWorkerProc" if self.kind in PORTS else "VLLM::Worker")

    def lose_rank(self) -> None:
        """One of the engine's processes under it ends; nothing else happens."""
        if self._ranks and self.alive:
            self.failed = True
            self.host.processes.pop(self._ranks.pop(), None)

    def fail(self, status: int) -> None:
        """End by itself."""
        if self.alive:
            self.failed = True
            self.end(status)

    def hang(self) -> None:
        """Answer nothing but /health from now on."""
        if self.alive:
            self.hangs = self.failed = True

    def break_down(self) -> None:
        """Answer every request with an error from now on."""
        if self.alive:
            self.errors = self.failed = True

    def close_output(self) -> None:
        """Close its output, and go on."""
        self._output_ends = True
        self._wake()

    def end(self, status: int) -> None:
        """End with a status, negative for a signal."""
        if not self.alive:
            return
        self.alive = False
        self.status = status
        for pid in (self.pid, *self._ranks):
            self.host.processes.pop(pid, None)
        if self._listener is not None:
            self._listener.close()
        self._output_ends = True
        self.world.emit("program_ended", program=self)
        self._wake()

    def works(self) -> bool:
        """Whether it and all that it runs with work, and reach each other."""
        if self.hangs or not self.alive:
            return False
        return all(program.alive and not program.hangs and len(program._ranks) == 1 for program in self.group) and self.world.are_connected(
            [self.host, *(program.host for program in self.group)]
        )

    # What the product calls

    def send_signal(self, number: int) -> None:
        if not self.alive:
            raise ProcessLookupError
        self._is_asked_to_end = True
        if number == signal.SIGTERM and not self.host.has("ignores_sigterm"):
            self._later(0.2 + self.world.random(), self.end, -signal.SIGTERM)

    def wait(self) -> int:
        while self.alive:
            self._block()
        return self.status

    def readline(self, _size: int) -> bytes:
        while not self._lines:
            if self._output_ends:
                return b""
            self._block()
        return self._lines.popleft()

    def _block(self) -> None:
        thread = self.world.scheduler.current
        self._readers.append(thread)
        try:
            self.world.scheduler.block(None)
        finally:
            self._readers.remove(thread)

    def _wake(self) -> None:
        for thread in self._readers:
            self.world.scheduler.wake(thread)

    def write(self, line: str) -> None:
        """Print a line."""
        self._lines.append(line.encode() + b"\n")
        self._wake()

    # Its API

    def answer(self, path: str, seconds: float) -> Any:
        """Answer a request. Raises ApiError."""
        scheduler = self.world.scheduler
        if not (self.is_ready and self.alive):
            raise _openai_api.ApiError(f"{path}: Connection refused")
        if path == "/health":
            return b""
        if path == "/metrics":
            if self.host.has("slow") and self.works():
                self._tokens += 1
            return f"vllm:generation_tokens_total 1{self._tokens}\n".encode()
        if self.errors:
            raise _openai_api.ApiError(f"{path} answered 500: Internal Server Error", 500)
        if self.host.has("slow") or not self.works():
            scheduler.sleep(seconds)
            raise _openai_api.ApiError(f"{path}: no complete answer after {seconds:.0f} s")
        scheduler.sleep(ANSWER_SECONDS)
        if not self.works():
            raise _openai_api.ApiError(f"{path}: the connection was closed without an answer")
        self._tokens += 1
        self.world.emit("completion", program=self)
        return {"choices": [{"text": " there"}], "usage": {"completion_tokens": 1}}


class Check(Program):
    """The check of Ray's nodes: prints what it waits for, and ends when Ray has every node."""

    def __init__(self, unit: Any) -> None:
        START_SECONDS.setdefault(CHECK, LOOK_SECONDS)
        super().__init__(unit, CHECK, "")

    def _become_ready(self) -> None:
        if self.host.has("check_fails"):
            self.unit.check_failed = True
            self.end(1)
            return
        missing = self.world.missing_in_ray()
        if not missing:
            self.write("Ray has all nodes")
            self.end(0)
            return
        self.write(f"waiting for Ray's node {', '.join(missing)}")
        self._later(LOOK_SECONDS, self._become_ready)


class Api:
    """C(_openai_api.Api) for the engine of the calling process's host."""

    def __init__(self, url: str, key: str, timeout: float, trust: Any) -> None:
        del url, trust
        self._key = key
        self._timeout = timeout

    def _answer(self, path: str, seconds: float) -> Any:
        from .modules import current  # The modules that the product imports call this one.

        process = current()
        program = process.unit.program
        if program is None or self._key != process.environ["VLLM_API_KEY"]:
            raise _openai_api.ApiError(f"{path}: Connection refused")
        return program.answer(path, seconds)

    def read(self, path: str, timeout: float | None = None) -> Any:
        return self._answer(path, self._timeout if timeout is None else timeout)

    def call(self, path: str, body: Any = None) -> Any:
        assert json.dumps(body)
        return self._answer(path, self._timeout)


def start(unit: Any, command: list[str], generation: str) -> Program:
    """Start a program. Raises OSError."""
    if unit.host.has("cannot_start"):
        unit.world.emit("could_not_start", unit=unit)
        raise os_error(12)
    return Check(unit) if command[0] == CHECK else Program(unit, command[0], generation)
