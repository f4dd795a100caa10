# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A worker belongs to one generation: once it has been told to start, it joins no other."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import base, main, worker
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor.connection import PeerError
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor.threads import Heartbeat


class Lost:
    """A connection to a leader that sends "start" and is lost."""

    def __init__(self) -> None:
        self.messages = [{"start": True}]

    def receive(self) -> dict[str, Any]:
        if self.messages:
            return self.messages.pop()
        raise PeerError("the connection was closed")

    def close(self) -> None:
        pass


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> worker.Worker:
    """A worker whose connections are lost at once; it counts them."""
    monkeypatch.setattr(base.signal, "signal", lambda number, handler: None)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    words = ["--service=big", "--name=worker", "--backend=mp", "--digest=d", "--port=1", "--leader-address=127.0.0.1", "--leader-name=head"]
    found = worker.Worker(main.read_options(["worker", *words, "--", "true"]))
    found.joined = []  # type: ignore[attr-defined]

    def connect(*_words: Any) -> Lost:
        lost = Lost()
        if len(found.joined) == 1:  # type: ignore[attr-defined]
            raise SystemExit
        found.joined.append(lost)  # type: ignore[attr-defined]
        return lost

    monkeypatch.setattr(worker, "connect", connect)
    return found


def reader(made: worker.Worker) -> threading.Thread:
    thread = threading.Thread(target=lambda: pytest.raises(SystemExit, made.reach_leader, Heartbeat("x")) and None, daemon=True)
    thread.start()
    return thread


def events(made: worker.Worker) -> list[base.Event]:
    """The events up to the loss of the connection."""
    found = [made.events.get(timeout=5)]
    while found[-1].kind != "lost":
        found.append(made.events.get(timeout=5))
    return found


def test_a_started_worker_does_not_join_the_next_generation(made: worker.Worker) -> None:
    """Also when the main thread reads the start message only after the connection was lost, for example on a host that was paused."""
    thread = reader(made)
    connected, start, lost = events(made)
    thread.join(0.5)
    assert thread.is_alive() and len(made.joined) == 1, "it waits for the main thread"  # type: ignore[attr-defined]
    made.handle(connected)
    made.handle(start)
    assert made.was_started
    with pytest.raises(base.Ended, match="was lost"):
        made.handle(lost)
    with pytest.raises(queue.Empty):
        made.events.get(timeout=0.3)
    assert len(made.joined) == 1  # type: ignore[attr-defined]


def test_a_worker_that_was_not_started_connects_again(made: worker.Worker) -> None:
    thread = reader(made)
    connected, _start, lost = events(made)
    made.handle(connected)
    made.handle(lost)
    thread.join(5)
    assert not thread.is_alive(), "it has connected a second time"
