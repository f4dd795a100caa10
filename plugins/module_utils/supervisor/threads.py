# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that cannot fail unnoticed: the process ends when one of them raises an exception or misses its heartbeat.

The main thread feeds systemd's watchdog and does not notice failures of the other threads by itself. Without this module a failed probe would never
find a dead engine, and a leader that accepts no connections would wait for its workers for ever while its unit is active.
"""

from __future__ import annotations

import threading
import time
import traceback
import typing as t

# Seconds that a late thread has after it was first seen late: the whole process may have been paused (a suspended machine), and the thread that
# resumes first must not blame the others.
GRACE_SECONDS = 10.0


class Heartbeat:
    """The state of a thread as other threads see it: heartbeats, end, failure."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure = ""
        self.ended = False
        self._due: t.Optional[float] = None
        self._timeout = 0.0
        # When the main thread first saw it late, and the deadline that it had then.
        self._late: tuple[float, float] = (0.0, 0.0)

    def beat(self, timeout: float) -> None:
        """Send a heartbeat, from the thread itself: the next one follows within C(timeout) seconds."""
        self._timeout = timeout
        self._due = time.monotonic() + timeout

    def suspend(self) -> None:
        """Expect no heartbeat until the next one, called from the thread itself: its work now may take any time, such as reading a program's output."""
        self._due = None

    def trouble(self) -> str:
        """What is wrong with the thread; empty when nothing is."""
        if self.failure:
            return f"the supervisor's thread that {self.name} has failed: {self.failure}"
        due, now = self._due, time.monotonic()
        if self.ended or due is None or now <= due:
            return ""
        if self._late[1] != due:
            self._late = (now, due)
        if now - self._late[0] >= GRACE_SECONDS:
            return f"the supervisor's thread that {self.name} has sent no heartbeat for {self._timeout:.0f} s"
        return ""


class Threads:
    """All threads of a process except the main one, which calls C(trouble) periodically."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[Heartbeat] = []

    def start(self, name: str, work: t.Callable[[Heartbeat], None], for_ever: bool = False) -> Heartbeat:
        """Run something in a thread. Raises RuntimeError when the system cannot start another thread.

        :param name: what the thread does, for messages, as the end of "the thread that"
        :param for_ever: whether its end is a failure too
        """
        heartbeat = Heartbeat(name)
        with self._lock:
            self._threads = [other for other in self._threads if other.failure or not other.ended]
            self._threads.append(heartbeat)
        try:
            threading.Thread(target=self._run, args=(heartbeat, work, for_ever), daemon=True).start()
        except RuntimeError:
            heartbeat.ended = True
            raise
        return heartbeat

    @staticmethod
    def _run(heartbeat: Heartbeat, work: t.Callable[[Heartbeat], None], for_ever: bool) -> None:
        try:
            work(heartbeat)
            heartbeat.failure = "it has ended" if for_ever else ""
        except BaseException as error:  # pylint: disable=broad-exception-caught  # Otherwise no other thread would notice.
            heartbeat.failure = f"{type(error).__name__}: {error}"[:500]
            traceback.print_exc()
        finally:
            heartbeat.ended = True

    def trouble(self) -> str:
        """What is wrong with one of them; empty when nothing is."""
        with self._lock:
            threads = list(self._threads)
        return next((text for text in (heartbeat.trouble() for heartbeat in threads) if text), "")
