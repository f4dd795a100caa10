# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A simulated process of a supervisor: its threads, sockets, signal handlers, and how it ends."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Mapping
from typing import Any

from .scheduler import Thread

_PIDS = itertools.count(1000)


class Exited(BaseException):
    """The process has called C(os._exit)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Process:
    """A process. C(on_end) is called with its exit status, negative for a signal."""

    def __init__(self, world: Any, host: Any, environ: Mapping[str, str], arguments: list[str], on_end: Callable[[int], None]) -> None:
        self.world = world
        self.host = host
        self.pid = next(_PIDS)
        self.environ = dict(environ)
        self.arguments = arguments
        self.alive = True
        self.frozen_until = 0.0
        self.threads: set[Thread] = set()
        self.main: Thread | None = None
        # Open sockets by their number.
        self.files: dict[int, Any] = {}
        self._numbers = itertools.count(3)
        self._handlers: dict[int, Callable[[int, Any], Any]] = {}
        self._on_end = on_end
        self.began = world.scheduler.now

    def start(self, main: Callable[[], Any]) -> None:
        """Run its main thread."""
        def run() -> None:
            try:
                main()
                status = 0
            except Exited as exited:
                status = exited.status
            except SystemExit as exited:
                status = exited.code if isinstance(exited.code, int) else 1
            except Exception as error:  # pylint: disable=broad-exception-caught  # As Python ends a process.
                self.world.emit("journal", process=self, text=f"Traceback: {type(error).__name__}: {error}")
                status = 1
            self.end(status)

        self.main = self.world.scheduler.spawn(self, run)

    def open(self, file: Any) -> int:
        """Give a socket a number."""
        number = next(self._numbers)
        self.files[number] = file
        return number

    def handle(self, number: int, handler: Callable[[int, Any], Any]) -> None:
        """Set a signal handler."""
        self._handlers[number] = handler

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if not self.alive:
            return
        if self.frozen_until > self.world.scheduler.now:
            self.world.scheduler.at(self.frozen_until, self.signal, number)
        elif number in self._handlers:
            self.world.acting = self
            self._handlers[number](number, None)
            self.world.acting = None
        else:
            self.end(-number)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.end(-signal.SIGKILL)

    def end(self, status: int) -> None:
        """End it; the kernel closes its sockets."""
        if self.alive:
            self.vanish()
            for file in list(self.files.values()):
                file.close()
            self._on_end(status)

    def vanish(self) -> None:
        """End it as a power failure does: nobody learns of it."""
        self.alive = False
