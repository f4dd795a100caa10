# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that do not die in silence: one that ends by an exception, or shows no life for longer than it said it would, ends the process.

systemd's watchdog is fed by the main thread, which knows nothing of the others by itself. A probe that has died never finds the engine dead, and a
hub that accepts nobody waits for its parts for ever, under a unit that is active.
"""

from __future__ import annotations

import threading
import time
import traceback
import typing as t


# Seconds that a thread which is late has, from when that was first seen: the whole process may have stood still (a machine that was paused), and
# whoever runs first again is not to blame the others.
GRACE_SECONDS = 10.0


class Worker:
    """A thread as it is seen from outside, and the signs of life that it gives."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure = ""
        self.ended = False
        self._due: t.Optional[float] = None
        self._promised = 0.0
        # When the main thread first saw it late, and what it was due at then.
        self._late: tuple[float, float] = (0.0, 0.0)

    def promise(self, seconds: float) -> None:
        """A sign of life, of the thread's own: the next one comes within so many seconds."""
        self._promised = seconds
        self._due = time.monotonic() + seconds

    def rest(self) -> None:
        """A sign of life, of the thread's own: what comes now takes as long as somebody else likes, as to read what a program says."""
        self._due = None

    def trouble(self) -> str:
        """What is wrong with it; empty when nothing is."""
        if self.failure:
            return f"the supervisor's thread that {self.name} has failed: {self.failure}"
        due, now = self._due, time.monotonic()
        if self.ended or due is None or now <= due:
            return ""
        if self._late[1] != due:
            self._late = (now, due)
        if now - self._late[0] >= GRACE_SECONDS:
            return f"the supervisor's thread that {self.name} has shown no life for {self._promised:.0f} s"
        return ""


class Threads:
    """All threads of a process but the main one, which is to ask for C(trouble) now and then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: list[Worker] = []

    def start(self, name: str, work: t.Callable[[Worker], None], for_ever: bool = False) -> Worker:
        """Have something done in a thread. Raises RuntimeError where the system has none left.

        :param name: what it does, for people, behind "the thread that"
        :param for_ever: whether its end is a failure too
        """
        worker = Worker(name)
        with self._lock:
            self._workers = [other for other in self._workers if other.failure or not other.ended]
            self._workers.append(worker)
        try:
            threading.Thread(target=self._run, args=(worker, work, for_ever), daemon=True).start()
        except RuntimeError:
            worker.ended = True
            raise
        return worker

    @staticmethod
    def _run(worker: Worker, work: t.Callable[[Worker], None], for_ever: bool) -> None:
        try:
            work(worker)
            worker.failure = "it has ended" if for_ever else ""
        except BaseException as error:  # pylint: disable=broad-exception-caught  # Whatever it is: nobody else would hear of it.
            worker.failure = f"{type(error).__name__}: {error}"[:500]
            traceback.print_exc()
        finally:
            worker.ended = True

    def trouble(self) -> str:
        """What is wrong with one of them; empty when nothing is."""
        with self._lock:
            workers = list(self._workers)
        return next((text for text in (worker.trouble() for worker in workers) if text), "")
