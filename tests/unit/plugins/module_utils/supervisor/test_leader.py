# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The leader counts no failure of another unit, admits nobody to a generation that runs, and reacts to a stop at any time."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import base, leader, main, threads
from test_supervisor import free_port


class Peer:
    """A worker's connection, as far as the leader sees it."""

    name = "worker"

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.closed = False

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> leader.Leader:
    """A leader with one worker, whose signals go to the test."""
    monkeypatch.setattr(base.signal, "signal", lambda number, handler: None)
    monkeypatch.setenv("SUPERVISOR_TOKEN", "x")
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    words = [
        "leader", "--service=big", "--name=head", "--backend=mp", "--digest=d", f"--port={free_port()}", "--listen=127.0.0.1", "--worker=worker",
        "--what=rank 0", f"--failures={tmp_path / 'failures'}", "--start-timeout=0.1", "--", "true",
    ]
    return leader.Leader(main.read_options(words))


@pytest.mark.parametrize("requested", [False, True])
def test_a_workers_end_is_no_failure_of_the_leader(made: leader.Leader, requested: bool) -> None:
    """The worker's unit counts it. If the leader did so too, it would back off, and the others wait for it."""
    made.is_complete = True
    with pytest.raises(base.Ended) as ended:
        made.receive("worker", {"ended": "rank 1 exited with status 1", "requested": requested})
    assert (ended.value.count, ended.value.requested) == (False, requested)


def test_a_worker_that_is_not_ready_counts_that_itself(made: leader.Leader, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the same timeout, and time to report that; only then the leader gives up, without a count of its own."""
    assert leader.WORKER_GRACE_SECONDS >= 5
    monkeypatch.setattr(leader, "WORKER_GRACE_SECONDS", 1.0)
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.05)
    made.connections["worker"] = Peer()  # type: ignore[assignment]
    began = time.monotonic()
    with pytest.raises(base.Ended, match="node worker not ready after 1 s") as ended:
        made.start_workers(["worker"])
    assert not ended.value.count and time.monotonic() - began >= 1.1


def test_ready_is_notified_until_systemd_takes_it(made: leader.Leader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the unit is activating for ever while it serves."""
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    made.begin_to_serve()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        channel.settimeout(5)
        made.send_heartbeat()
        assert {channel.recv(1000), channel.recv(1000)} == {b"READY=1", b"STATUS=serving on head, worker"}


def test_a_worker_that_was_admitted_too_late(made: leader.Leader) -> None:
    """It passed the check just before the generation was complete. The start message went to its previous connection: nobody would ever be ready."""
    before, again = Peer(), Peer()
    made.handle(base.Event("connected", before))  # type: ignore[arg-type]
    made.is_complete = True
    with pytest.raises(base.Ended, match="node worker has restarted") as ended:
        made.handle(base.Event("connected", again))  # type: ignore[arg-type]
    assert not ended.value.count and made.connections == {"worker": before}


def test_a_stop_while_another_program_has_the_port(made: leader.Leader) -> None:
    """The leader tries for a minute to listen; systemd's SIGTERM need not wait for that."""
    with socket.create_server(("127.0.0.1", made.options.port)):
        made.events.put(base.Event("signal", status=signal.SIGTERM))
        began = time.monotonic()
        with pytest.raises(base.Ended, match="stopped on request"):
            made.listen()
        assert time.monotonic() - began < 10


def test_a_port_by_ipv6(made: leader.Leader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address is in brackets, so that it can be told from the port."""
    monkeypatch.setattr(leader, "LISTEN_SECONDS", 0.0)
    made.options.listen = "2001:db8::1"
    with pytest.raises(base.Ended, match=r"cannot listen on \[2001:db8::1\]:\d+: "):
        made.listen()


def test_a_port_that_is_free_again(made: leader.Leader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader listens as soon as it can, and gives up after a time without counting a failure."""
    monkeypatch.setattr(leader, "LISTEN_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(leader, "LISTEN_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", made.options.port)):
        with pytest.raises(base.Ended, match="cannot listen on 127.0.0.1:") as ended:
            made.listen()
    assert made.state.status == f"starting: cannot listen on 127.0.0.1:{made.options.port}: Address already in use"
    assert not ended.value.count
    made.listen().close()


def test_a_check_that_cannot_be_started(made: leader.Leader) -> None:
    """No memory, or no such file: the generation ends and says so, without an exception in a thread."""
    made.options.check = ["/does/not/exist"]
    made.check(threads.Heartbeat("checks"))
    with pytest.raises(base.Ended, match="it cannot be started: .*No such file"):
        made.handle(made.events.get(timeout=5))


def test_a_program_that_cannot_be_started(made: leader.Leader, tmp_path: Path) -> None:
    """It counts as a failure, so that the starts after it back off; and its log says why."""
    made.process.command = ["/does/not/exist"]
    with pytest.raises(base.Ended, match="rank 0 cannot be started: .*No such file") as ended:
        made.start()
    assert made.finish(ended.value) == 1 and made.state.failed == 1
    [kept] = (tmp_path / "failures").iterdir()
    assert "cannot be started" in (kept / "output.log").read_text()
