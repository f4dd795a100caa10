# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Virtual time: threads as greenlets, of which one runs at a time, and a heap of what happens when.

A thread runs until it blocks. Whatever it waits for, the scheduler then advances the clock to the next entry of the heap. A seed decides the order of what
happens at about the same time, so that a history can be repeated exactly.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

import greenlet

# Seconds that a thread that can run waits for a processor, at most; and now and then, on a busy host.
DELAY = 0.002
LONG_DELAY = 0.05


class Gone(BaseException):
    """Raised in a thread when its process has ended; no code of the product runs afterwards."""


class Thread:
    """A thread of a simulated process."""

    __slots__ = ("process", "greenlet", "ticket", "is_blocked", "deadline", "ended")

    def __init__(self, process: Any) -> None:
        self.process = process
        self.greenlet: greenlet.greenlet | None = None
        # Counts how often it has blocked: an entry of the heap for an earlier time is void.
        self.ticket = 0
        self.is_blocked = False
        self.deadline: float | None = None
        self.ended = False


class Scheduler:
    """The clock and the heap. C(now) is in seconds."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = random.Random(seed).random
        self.current: Thread | None = None
        self.stopped = False
        self._heap: list[tuple[float, float, Callable[..., None], tuple[Any, ...]]] = []
        self._hub = greenlet.getcurrent()
        self._threads: list[Thread] = []

    def at(self, time: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call something at a time, outside of all threads."""
        heapq.heappush(self._heap, (time, self.random(), call, arguments))

    def after(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call something after some seconds, outside of all threads."""
        heapq.heappush(self._heap, (self.now + seconds, self.random(), call, arguments))

    def spawn(self, process: Any, work: Callable[[], None]) -> Thread:
        """Start a thread of a process."""
        thread = Thread(process)

        def run(_woken: bool) -> None:
            try:
                work()
            except Gone:
                pass
            finally:
                thread.ended = True
                process.threads.discard(thread)

        thread.greenlet = greenlet.greenlet(run, parent=self._hub)
        thread.is_blocked = True
        process.threads.add(thread)
        self._threads.append(thread)
        self.wake(thread)
        return thread

    def block(self, deadline: float | None) -> bool:
        """Block the current thread until another wakes it, or until the deadline; return whether it was woken."""
        thread = self.current
        if thread is None or not thread.process.alive:
            raise Gone
        thread.ticket += 1
        thread.is_blocked = True
        thread.deadline = deadline
        if deadline is not None:
            random = self.random()
            heapq.heappush(self._heap, (max(deadline, self.now) + random * DELAY, random, self._resume, (thread, thread.ticket, False)))
        return bool(self._hub.switch())

    def sleep(self, seconds: float) -> None:
        """Block the current thread for some seconds."""
        self.block(self.now + seconds)

    def preempt(self) -> None:
        """A point at which another thread may run first."""
        random = self.random()
        if random < 0.2 and self.current is not None:
            self.block(self.now + (LONG_DELAY if random < 0.01 else 0.0))

    def wake(self, thread: Thread) -> None:
        """Let a blocked thread run."""
        if thread.is_blocked:
            random = self.random()
            heapq.heappush(self._heap, (self.now + random * DELAY, random, self._resume, (thread, thread.ticket, True)))

    def _resume(self, thread: Thread, ticket: int, woken: bool) -> None:
        if ticket != thread.ticket or not thread.is_blocked or not thread.process.alive:
            return
        if thread.process.frozen_until > self.now:
            random = self.random()
            heapq.heappush(self._heap, (thread.process.frozen_until + random * DELAY, random, self._resume, (thread, ticket, woken)))
            return
        thread.is_blocked = False
        thread.deadline = None
        self.current = thread
        assert thread.greenlet is not None
        try:
            thread.greenlet.switch(woken)
        finally:
            self.current = None

    def run(self, limit: float) -> None:
        """Let time pass until a limit, or until C(stopped) is set."""
        heap = self._heap
        while heap and not self.stopped:
            time, random, call, arguments = heapq.heappop(heap)
            if time > limit:
                heapq.heappush(heap, (time, random, call, arguments))
                self.now = limit
                return
            if time > self.now:
                self.now = time
            call(*arguments)

    def close(self) -> None:
        """End all threads. Without this each of them would stay in memory with its stack."""
        self._heap.clear()
        for thread in self._threads:
            thread.process.alive = False
            self.current = thread
            # False for one that has not started.
            while thread.greenlet:
                thread.greenlet.throw(Gone)
        self.current = None
