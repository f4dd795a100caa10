# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever an unauthenticated peer sends to the leader, or in the leader's place, the service goes on."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import connection
from generated import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_supervisor import Service, free_port, soon, service  # noqa: F401  # pylint: disable=unused-import  # service is a fixture


@pytest.fixture
def link() -> ModuleType:
    return connection


# What is no message, or one that a parser or a comparison stumbles over.
GARBAGE = {
    "beyond ASCII": '{"code": "é", "service": "big", "name": "worker", "nonce": "n", "generation": "g"}\n'.encode(),
    "deep": b'{"a":' + b"[" * 30000 + b"\n",
    "a surrogate": b'{"code": "\\ud800", "service": "big", "name": "\\ud800", "nonce": "\\ud800", "generation": "\\ud800", "refused": "\\ud800"}\n',
    "a list": b"[1]\n",
    "null": b"null\n",
    "other kinds": b'{"code": [1], "service": "big", "name": {"a": 1}, "nonce": null, "generation": 1e400}\n',
    "a long number": b'{"nonce": ' + b"9" * 20000 + b"}\n",
    "no end": b"x" * 100_000,
    "UTF-16": '{"nonce": "n"}\n'.encode("utf-16"),
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "nothing": b"",
}


@contextlib.contextmanager
def server(port: int, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """A program in the leader's place."""
    listening = socket.create_server(("127.0.0.1", port))
    listening.settimeout(0.1)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                connection, _address = listening.accept()
                with connection:
                    connection.settimeout(1)
                    answer(connection)
        listening.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    ended.set()
    thread.join()


def test_a_worker_survives_a_wrong_leader(service: Service) -> None:  # noqa: F811
    """It retries, and joins the leader once that is there: a failed thread would leave the unit active, and out of the service for ever."""
    hello = b'{"protocol": 2, "nonce": "n"}\n'
    # In place of the leader's first message, or after it, in place of the leader's answer.
    left = [hello * (number % 2 == 0) + garbage for number, garbage in enumerate(GARBAGE.values())]

    def answer(connection: socket.socket) -> None:
        connection.sendall(left.pop() if left else b"")

    with server(service.port, answer):
        service.start("worker")
        soon(lambda: not left, f"the worker asks again, {len(left)} times", 90)
    service.start("head", leader=True, worker=["worker"])
    soon(lambda: service.runs("head") and service.runs("worker"), "the worker has joined")


def speak(port: int, words: bytes, address: str = "127.0.0.1") -> None:
    """Send something to the leader's port, and wait until the leader closes the connection."""
    with socket.create_connection((address, port), timeout=30) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(words)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


# Bytes, and messages with the names of the real ones, cut somewhere.
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=3))
_MESSAGES = st.dictionaries(st.sampled_from(["service", "name", "nonce", "code", "protocol", "digest", "body", "x"]), _VALUES).map(
    lambda message: json.dumps({"service": "big", **message}).encode()
)
_LINES = st.lists(st.one_of(st.binary(max_size=200), _MESSAGES, st.just(b"[" * 5000)), max_size=4).map(b"\n".join)


@pytest.mark.fuzz
def test_the_leaders_port_takes_any_bytes(service: Service) -> None:  # noqa: F811
    """After all of them no thread of the leader has failed, and the right worker is admitted."""
    service.start("head", leader=True, worker=["worker"])
    soon(lambda: service.text("head") == "starting: waiting for node worker", "the head waits")

    @settings(max_examples=examples(150), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_LINES, st.booleans())
    def say(words: bytes, ends: bool) -> None:
        speak(service.port, words + b"\n" * ends)

    say()
    for words in GARBAGE.values():
        speak(service.port, words)
    assert service.units["head"].poll() is None
    assert "Traceback" not in service.output("head")
    service.start("worker")
    soon(lambda: service.runs("head") and service.runs("worker"), "the worker is let in")
    assert service.output("head").count("refused") < 20, "an unauthenticated client does not fill the journal"


def test_no_file_left_for_a_connection(service: Service) -> None:  # noqa: F811
    """The leader goes on listening: accept(2) fails while it has all the files that it may have, and not for ever."""
    service.start("head", leader=True, worker=["worker"])
    soon(lambda: service.text("head") == "starting: waiting for node worker", "the head waits")
    pid = service.units["head"].pid
    former = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), former[1]))
    with socket.create_connection(("127.0.0.1", service.port)):
        # Its own files are scarce as well meanwhile.
        soon(lambda: "could not be accepted: Too many open files" in service.output("head"), "the leader logs it")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, former)
    service.start("worker")
    soon(lambda: service.runs("head") and service.runs("worker"), "the worker is let in")


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        return client, listening.accept()[0]


def trickle(connection: socket.socket) -> threading.Event:
    """Have a byte sent now and then, until the event is set."""
    ended = threading.Event()

    def send() -> None:
        with contextlib.suppress(OSError):
            while not ended.wait(0.1):
                connection.sendall(b" ")

    threading.Thread(target=send, daemon=True).start()
    return ended


SIDES: dict[str, Callable[[Any, socket.socket], Any]] = {
    "leader": lambda link, connection: link.admit(connection, "token", "big", "d", "generation", lambda name: "", 60),
    "worker": lambda link, connection: link.join(connection, "token", "big", "worker", "d", 60),
}


@pytest.mark.parametrize("side", SIDES)
def test_who_trickles_has_his_time(link: ModuleType, monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    """The timeout is for the whole handshake, not for each byte of it."""
    monkeypatch.setattr(link, "HANDSHAKE_SECONDS", 1.0)
    ours, theirs = connected()
    ended = trickle(theirs)
    found: list[str] = []

    def hold() -> None:
        try:
            SIDES[side](link, ours)
        except link.PeerError as error:
            found.append(str(error))

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    thread.join(timeout=15)
    ended.set()
    assert found == ["timed out"]
    ours.close()
    theirs.close()


def test_who_trickles_is_silent(link: ModuleType) -> None:
    """Bytes that never become a message are no heartbeat either."""
    ours, theirs = connected()
    ended = trickle(theirs)
    held = link.Connection(ours, link.Lines(ours), "worker", b"key", "leader", "worker", 1.0)
    found: list[str] = []

    def hold() -> None:
        try:
            held.receive()
        except link.PeerError as error:
            found.append(str(error))

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    thread.join(timeout=15)
    ended.set()
    assert found == ["timed out"]
    held.close()
    theirs.close()


def test_unauthenticated_connections_are_limited(service: Service) -> None:  # noqa: F811
    """Of one address only so many wait at a time, and those of others do not suffer from it."""
    service.start("head", leader=True, worker=["worker"])
    soon(lambda: service.text("head") == "starting: waiting for node worker", "the head waits")
    held = [socket.create_connection(("127.0.0.1", service.port), source_address=("127.0.0.9", 0), timeout=5) for _number in range(8)]
    assert all(connection.recv(1) for connection in held), "the leader sends its nonce"
    with socket.create_connection(("127.0.0.1", service.port), source_address=("127.0.0.9", 0), timeout=5) as one_more:
        assert one_more.recv(1) == b""
    soon(lambda: "refused 127.0.0.9: 8 connections from this address have not authenticated yet" in service.output("head"), "it is said")
    service.start("worker")
    soon(lambda: service.runs("head") and service.runs("worker"), "the worker is let in")
    for client in held:
        client.close()


def test_a_message_is_an_object(link: ModuleType) -> None:
    """Also one with the right code, of a worker that has the token: the main thread reads keys of it."""
    ours, theirs = connected()
    sender = link.Connection(theirs, link.Lines(theirs), "leader", b"key", "worker", "leader", 5.0)
    receiver = link.Connection(ours, link.Lines(ours), "worker", b"key", "leader", "worker", 5.0)
    sender.send([1])
    with pytest.raises(link.PeerError):
        receiver.receive()
    sender.close()
    receiver.close()


def test_texts_of_a_message_are_bounded(link: ModuleType) -> None:
    """They go to the journal and to systemd, whose socket reads lines: READY=1 in one of them is not for a peer to say."""
    assert link.text_of({"ended": "a\nREADY=1\x1b[2J"}, "ended") == "a\N{REPLACEMENT CHARACTER}READY=1\N{REPLACEMENT CHARACTER}[2J"
    assert len(link.text_of({"ended": "x" * 50_000}, "ended")) == link.LONGEST_TEXT
    assert link.text_of({"ended": ["x"]}, "ended") == link.text_of({}, "ended") == ""


def test_addresses_of_ipv6_are_whole(service: Service) -> None:  # noqa: F811
    """Refused peers are told apart by all of it."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6")
    service.port = free_port()
    service.start("head", leader=True, worker=["worker"], listen="::1")
    soon(lambda: service.text("head") == "starting: waiting for node worker", "the head waits")
    speak(service.port, b"x\n", "::1")
    soon(lambda: "refused ::1: it sent no valid message" in service.output("head"), "it is named")
    service.start("worker", leader_address="::1")
    soon(lambda: service.runs("head") and service.runs("worker"), "the worker is let in")
