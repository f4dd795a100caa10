# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the supervisor's modules import, in virtual time: C(installed) puts it into their namespaces, and takes it out again.

The replacements act for the simulated process whose thread runs.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime
import os
import queue
import random
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils import _openai_api, _reading
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import (
    admission, base, connection, leader, main, metrics, probe, process, processes, ranks, state, threads, worker,
)

from . import programs
from .network import Poll
from .processes import Exited
from .scheduler import Scheduler, Thread as SimulatedThread

# The monotonic clock when a history starts: it counts from a host's boot, and is never near 0 in a unit.
MONOTONIC = 1000.0
# The trouble of a host whose GPU must not be used.
SICK_GPU = "sick_gpu"
# When histories take place, in seconds since 1970.
EPOCH = 1_800_000_000.0


class _Here:
    """The history that runs."""

    world: Any = None


def current() -> Any:
    """Return the process that runs."""
    thread = _Here.world.scheduler.current
    return thread.process if thread is not None else _Here.world.acting


def _scheduler() -> Scheduler:
    found: Scheduler = _Here.world.scheduler
    return found


@contextlib.contextmanager
def running(world: Any) -> Iterator[None]:
    """Have the replacements act in a history."""
    _Here.world = world
    try:
        yield
    finally:
        world.scheduler.close()
        _Here.world = None


class SimpleQueue:
    """C(queue.SimpleQueue) with one reader."""

    def __init__(self) -> None:
        self._items: collections.deque[Any] = collections.deque()
        self._reader: SimulatedThread | None = None

    def put(self, item: Any) -> None:
        self._items.append(item)
        if self._reader is not None:
            _scheduler().wake(self._reader)
        _scheduler().preempt()

    def get(self, timeout: float) -> Any:
        scheduler = _scheduler()
        deadline = scheduler.now + timeout
        while not self._items:
            if scheduler.now >= deadline:
                raise queue.Empty
            self._reader = scheduler.current
            scheduler.block(deadline)
            self._reader = None
        return self._items.popleft()


class Lock:
    """C(threading.Lock)."""

    def __init__(self) -> None:
        self._is_locked = False
        self._waiting: list[SimulatedThread] = []

    def __enter__(self) -> None:
        while self._is_locked:
            scheduler = _scheduler()
            assert scheduler.current is not None
            self._waiting.append(scheduler.current)
            scheduler.block(None)
        self._is_locked = True

    def __exit__(self, *_error: object) -> None:
        self._is_locked = False
        waiting, self._waiting = self._waiting, []
        for thread in waiting:
            _scheduler().wake(thread)


class Event:
    """C(threading.Event)."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[SimulatedThread] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        for thread in self._waiting:
            _scheduler().wake(thread)

    def clear(self) -> None:
        self._is_set = False

    def wait(self, seconds: float | None = None) -> bool:
        scheduler = _scheduler()
        deadline = None if seconds is None else scheduler.now + seconds
        while not self._is_set and (deadline is None or scheduler.now < deadline):
            assert scheduler.current is not None
            self._waiting.append(scheduler.current)
            scheduler.block(deadline)
        return self._is_set


class Thread:
    """C(threading.Thread)."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> None:
        assert daemon, "a thread that is no daemon would hold up the process's end"
        self._work = lambda: target(*args)

    def start(self) -> None:
        owner = current()
        if owner.host.has("no_threads"):
            _Here.world.emit("could_not_start", unit=owner.unit)
            raise RuntimeError("can't start new thread")
        _scheduler().spawn(owner, self._work)


class _NotifySocket:
    """The socket that reaches systemd."""

    def __enter__(self) -> _NotifySocket:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def connect(self, _address: str) -> None:
        if current().host.has("notify_refused"):
            raise ConnectionRefusedError("Connection refused")

    def sendall(self, data: bytes) -> None:
        current().unit.notified(data.decode())


def _print(*words: object, **_options: Any) -> None:
    _Here.world.emit("journal", process=current(), text=" ".join(map(str, words)))


def _print_exception() -> None:
    import sys

    found = sys.exc_info()[1]
    if current() is not None and current().alive:
        _print(f"Traceback: {type(found).__name__}: {found}")


class _Output:
    """C(sys.stdout) and its buffer."""

    @property
    def buffer(self) -> _Output:
        return self

    def write(self, data: bytes) -> None:
        _print(data.decode())

    def flush(self) -> None:
        pass


class _Sys:
    stdout = stderr = _Output()

    @property
    def argv(self) -> list[str]:
        return ["supervisor", *current().arguments]


def _exit(status: int) -> None:
    raise Exited(status)


def _killpg(pid: int, _number: int) -> None:
    program = next((program for program in current().unit.programs if program.pid == pid), None)
    if program is None or not program.alive:
        raise ProcessLookupError
    program.end(-signal.SIGKILL)


class _Path:
    """C(os.path) of a simulated host."""

    join, basename = staticmethod(os.path.join), staticmethod(os.path.basename)

    @staticmethod
    def isdir(path: str) -> bool:
        return bool(current().host.disk.isdir(path))

    lexists = isdir


class _Os:
    """C(os) for a simulated process."""

    path = _Path
    killpg, _exit = staticmethod(_killpg), staticmethod(_exit)
    walk = staticmethod(lambda _path: iter(()))

    @property
    def environ(self) -> dict[str, str]:
        found: dict[str, str] = current().environ
        return found

    @staticmethod
    def getpid() -> int:
        return int(current().pid)

    @staticmethod
    def makedirs(path: str, **options: Any) -> None:
        current().host.disk.makedirs(path, **options)

    @staticmethod
    def listdir(path: str) -> list[str]:
        host = current().host
        return list(map(str, host.processes)) if path == "/proc" else host.disk.listdir(path)


def _popen(command: list[str], **_options: Any) -> programs.Program:
    return _Here.world.start_program(current().unit, command)


class _Look:
    """C(gpus.Look): the GPUs of a host are well, unless it has that trouble."""

    def __init__(self, _names: object) -> None:
        pass

    @staticmethod
    def is_done() -> bool:
        return True

    @staticmethod
    def result(_accepted: object) -> tuple[list[str], str]:
        return (["GPU 0 has to be reset; fix: reset it"] if current().host.has(SICK_GPU) else []), ""


class _DateTime:
    @staticmethod
    def now(zone: datetime.timezone) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(EPOCH + _scheduler().now + current().host.clock_error, zone)


class _Secrets:
    """Numbers that differ within a history and not between two runs of it."""

    @staticmethod
    def token_hex(size: int) -> str:
        return f"{random.Random(_scheduler().random()).getrandbits(8 * size):0{2 * size}x}"


_OPTIONS: dict[tuple[str, ...], argparse.Namespace] = {}
_read_options = main.read_options


def _cached_options(arguments: list[str]) -> argparse.Namespace:
    """C(main.read_options), which takes a millisecond."""
    key = tuple(arguments)
    if key not in _OPTIONS:
        _OPTIONS[key] = _read_options(arguments)
    return argparse.Namespace(**vars(_OPTIONS[key]))


_CONSTANTS = {
    name: getattr(socket, name)
    for name in ("AF_INET", "AF_INET6", "AF_UNIX", "SOCK_DGRAM", "SOCK_CLOEXEC", "SHUT_RDWR", "IPPROTO_TCP", "TCP_NODELAY", "timeout")
}
_OS, _SYS = _Os(), _Sys()
_TIME = SimpleNamespace(monotonic=lambda: MONOTONIC + _Here.world.scheduler.now, sleep=lambda seconds: _scheduler().sleep(seconds))
_SOCKET = SimpleNamespace(
    **_CONSTANTS,
    socket=lambda _family, _kind: _NotifySocket(),
    create_connection=lambda address, timeout: _Here.world.network.connect(current(), *address, timeout),
    create_server=lambda address, family: _Here.world.network.listen(current(), current().host, address[1]),
)
_SELECT = SimpleNamespace(POLLIN=select.POLLIN, poll=lambda: Poll(_scheduler()))
_THREADING = SimpleNamespace(Lock=Lock, Event=Event, Thread=Thread)
_SUBPROCESS = SimpleNamespace(Popen=_popen, **{name: getattr(subprocess, name) for name in ("DEVNULL", "PIPE", "STDOUT")})
_SIGNAL = SimpleNamespace(
    SIGTERM=signal.SIGTERM, SIGINT=signal.SIGINT, SIGKILL=signal.SIGKILL, signal=lambda number, handler: current().handle(number, handler),
)
_QUEUE = SimpleNamespace(SimpleQueue=SimpleQueue, Empty=queue.Empty)
_TRACEBACK = SimpleNamespace(print_exc=_print_exception)
_DATETIME = SimpleNamespace(datetime=_DateTime, timezone=datetime.timezone)
_API = SimpleNamespace(Api=programs.Api, Trust=_openai_api.Trust, ApiError=_openai_api.ApiError, shown=_openai_api.shown)

_REPLACED: dict[Any, dict[str, Any]] = {
    admission: {"threading": _THREADING},
    base: {
        "os": _OS, "queue": _QUEUE, "signal": _SIGNAL, "socket": _SOCKET, "threading": _THREADING, "time": _TIME, "traceback": _TRACEBACK,
        "gpus": SimpleNamespace(named=lambda _which, _environment: None, Look=_Look, sentence="; ".join),
        "stacks": SimpleNamespace(GpuState=lambda: SimpleNamespace(text=str), dump=lambda _pids: None),
    },
    connection: {"secrets": _Secrets, "select": _SELECT, "socket": _SOCKET, "threading": _THREADING, "time": _TIME},
    leader: {"secrets": _Secrets, "socket": _SOCKET, "subprocess": _SUBPROCESS, "time": _TIME, "print": _print},
    main: {"os": _OS, "sys": _SYS, "print": _print, "read_options": _cached_options},
    metrics: {"_openai_api": _API},
    probe: {"_openai_api": _API, "now": lambda: state.now()},
    process: {"os": _OS, "signal": _SIGNAL, "subprocess": _SUBPROCESS, "sys": _SYS, "threading": _THREADING, "time": _TIME},
    processes: {
        "os": _OS,
        "cpu_seconds": lambda: 0.0,
        "stat": lambda pid: current().host.processes.get(pid, ((), ""))[0],
        "title": lambda pid: current().host.processes.get(pid, ((), ""))[1],
    },
    ranks: {"time": _TIME},
    state: {
        "os": _OS, "socket": _SOCKET, "datetime": _DATETIME, "print": _print,
        "open": lambda path, mode, **options: current().host.disk.open(path, mode, **options),
        "shutil": SimpleNamespace(rmtree=lambda path, **options: current().host.disk.rmtree(path)),
        "_writing": SimpleNamespace(replace=lambda path, data: current().host.disk.replace(path, data)),
    },
    threads: {"threading": _THREADING, "time": _TIME, "traceback": _TRACEBACK},
    worker: {"threading": _THREADING, "time": _TIME},
    _reading: {"read_text": lambda path: current().host.disk.read_text(path)},
}
_MISSING = object()


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Replace what the supervisor's modules import, until the end of the block."""
    from .world import OBSERVED  # It imports this module.

    replaced = {**_REPLACED, main: {**_REPLACED[main], **OBSERVED}}
    before = {module: {name: vars(module).get(name, _MISSING) for name in names} for module, names in replaced.items()}
    for module, names in replaced.items():
        vars(module).update(names)
    try:
        yield
    finally:
        for module, names in before.items():
            for name, value in names.items():
                if value is _MISSING:
                    delattr(module, name)
                else:
                    setattr(module, name, value)
