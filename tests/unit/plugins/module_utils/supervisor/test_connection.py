# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever a stranger says at the hub's port, or in the hub's place, nobody is kept from the service by it."""

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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_supervisor import Span, free_port, soon, span  # noqa: F401  # pylint: disable=unused-import  # span is a fixture


@pytest.fixture
def link() -> ModuleType:
    return connection


# What is no message, or one that a parser or a comparison stumbles over.
GARBAGE = {
    "beyond ASCII": '{"code": "é", "span": "big", "name": "worker", "nonce": "n", "life": "l"}\n'.encode(),
    "deep": b'{"a":' + b"[" * 30000 + b"\n",
    "a surrogate": b'{"code": "\\ud800", "span": "big", "name": "\\ud800", "nonce": "\\ud800", "life": "\\ud800", "refused": "\\ud800"}\n',
    "a list": b"[1]\n",
    "null": b"null\n",
    "other kinds": b'{"code": [1], "span": "big", "name": {"a": 1}, "nonce": null, "life": 1e400}\n',
    "a long number": b'{"nonce": ' + b"9" * 20000 + b"}\n",
    "no end": b"x" * 100_000,
    "UTF-16": '{"nonce": "n"}\n'.encode("utf-16"),
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "nothing": b"",
}


@contextlib.contextmanager
def server(port: int, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Somebody in the hub's place."""
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


def test_a_worker_outlives_what_stands_in_the_hubs_place(span: Span) -> None:  # noqa: F811
    """It goes on asking, and joins the hub once it is there: a thread that dies would leave the unit active, and out of the service for ever."""
    greeting = b'{"protocol": 1, "nonce": "n"}\n'
    # In the greeting's place, or behind it, where the answer to the worker's own stands.
    left = [greeting * (number % 2 == 0) + garbage for number, garbage in enumerate(GARBAGE.values())]

    def answer(connection: socket.socket) -> None:
        connection.sendall(left.pop() if left else b"")

    with server(span.port, answer):
        span.start("worker")
        soon(lambda: not left, f"the worker asks again, {len(left)} times", 90)
    span.start("head", hub=True, member=["worker"])
    soon(lambda: span.runs("head") and span.runs("worker"), "the worker has joined")


def speak(port: int, words: bytes, address: str = "127.0.0.1") -> None:
    """Say something at the hub's port, and wait until the hub has had enough of it."""
    with socket.create_connection((address, port), timeout=30) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(words)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


# Bytes, and messages with the names of the real ones, cut somewhere.
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=3))
_MESSAGES = st.dictionaries(st.sampled_from(["span", "name", "nonce", "code", "protocol", "digest", "body", "x"]), _VALUES).map(
    lambda message: json.dumps({"span": "big", **message}).encode()
)
_LINES = st.lists(st.one_of(st.binary(max_size=200), _MESSAGES, st.just(b"[" * 5000)), max_size=4).map(b"\n".join)


def test_the_hubs_port_takes_any_bytes(span: Span) -> None:  # noqa: F811
    """After all of them no thread of the hub has died, and the right part is let in."""
    span.start("head", hub=True, member=["worker"])
    soon(lambda: span.text("head") == "starting: waiting for node worker", "the head waits")

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_LINES, st.booleans())
    def say(words: bytes, ends: bool) -> None:
        speak(span.port, words + b"\n" * ends)

    say()
    for words in GARBAGE.values():
        speak(span.port, words)
    assert span.parts["head"].poll() is None
    assert "Traceback" not in span.output("head")
    span.start("worker")
    soon(lambda: span.runs("head") and span.runs("worker"), "the worker is let in")
    assert span.output("head").count("refused") < 20, "a stranger does not fill the journal"


def test_no_file_left_for_a_connection(span: Span) -> None:  # noqa: F811
    """The hub goes on listening: accept(2) fails while it has all the files that it may have, and not for ever."""
    span.start("head", hub=True, member=["worker"])
    soon(lambda: span.text("head") == "starting: waiting for node worker", "the head waits")
    pid = span.parts["head"].pid
    former = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), former[1]))
    with socket.create_connection(("127.0.0.1", span.port)):
        # Its own files are scarce as well meanwhile.
        soon(lambda: "could not be taken: Too many open files" in span.output("head"), "the hub says so")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, former)
    span.start("worker")
    soon(lambda: span.runs("head") and span.runs("worker"), "the worker is let in")


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
    "hub": lambda link, connection: link.welcome(connection, "token", "big", "d", "life", lambda name: "", 60),
    "part": lambda link, connection: link.greet(connection, "token", "big", "worker", "d", 60),
}


@pytest.mark.parametrize("side", SIDES)
def test_who_trickles_has_his_time(link: ModuleType, monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    """The bound is for the whole of a greeting, not for each byte of it."""
    monkeypatch.setattr(link, "GREETING_SECONDS", 1.0)
    ours, theirs = connected()
    ended = trickle(theirs)
    found: list[str] = []

    def hold() -> None:
        try:
            SIDES[side](link, ours)
        except link.LinkFault as error:
            found.append(str(error))

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    thread.join(timeout=15)
    ended.set()
    assert found == ["timed out"]
    ours.close()
    theirs.close()


def test_who_trickles_is_silent(link: ModuleType) -> None:
    """Bytes that never become a message are no sign of life of a part either."""
    ours, theirs = connected()
    ended = trickle(theirs)
    held = link.Link(ours, link.Lines(ours), "worker", b"key", "hub", "part", 1.0)
    found: list[str] = []

    def hold() -> None:
        try:
            held.receive()
        except link.LinkFault as error:
            found.append(str(error))

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    thread.join(timeout=15)
    ended.set()
    assert found == ["timed out"]
    held.close()
    theirs.close()


def test_who_proves_nothing_has_few_connections(span: Span) -> None:  # noqa: F811
    """Of one address only so many wait at a time, and those of others do not suffer from it."""
    span.start("head", hub=True, member=["worker"])
    soon(lambda: span.text("head") == "starting: waiting for node worker", "the head waits")
    held = [socket.create_connection(("127.0.0.1", span.port), source_address=("127.0.0.9", 0), timeout=5) for _number in range(8)]
    assert all(connection.recv(1) for connection in held), "those are greeted"
    with socket.create_connection(("127.0.0.1", span.port), source_address=("127.0.0.9", 0), timeout=5) as one_more:
        assert one_more.recv(1) == b""
    soon(lambda: "refused 127.0.0.9: 8 connections of this address have not proven themselves yet" in span.output("head"), "it is said")
    span.start("worker")
    soon(lambda: span.runs("head") and span.runs("worker"), "the worker is let in")
    for stranger in held:
        stranger.close()


def test_a_message_is_an_object(link: ModuleType) -> None:
    """Also one with the right code, of a part that has the token: the main thread reads keys of it."""
    ours, theirs = connected()
    sender = link.Link(theirs, link.Lines(theirs), "hub", b"key", "part", "hub", 5.0)
    receiver = link.Link(ours, link.Lines(ours), "worker", b"key", "hub", "part", 5.0)
    sender.send([1])
    with pytest.raises(link.LinkFault):
        receiver.receive()
    sender.close()
    receiver.close()


def test_texts_of_a_message_are_bounded(link: ModuleType) -> None:
    """They go to the journal and to systemd, whose socket reads lines: READY=1 in one of them is not for a peer to say."""
    assert link.text_of({"ended": "a\nREADY=1\x1b[2J"}, "ended") == "a\N{REPLACEMENT CHARACTER}READY=1\N{REPLACEMENT CHARACTER}[2J"
    assert len(link.text_of({"ended": "x" * 50_000}, "ended")) == link.LONGEST_TEXT
    assert link.text_of({"ended": ["x"]}, "ended") == link.text_of({}, "ended") == ""


def test_addresses_of_ipv6_are_whole(span: Span) -> None:  # noqa: F811
    """Strangers are told apart by all of it."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6")
    span.port = free_port()
    span.start("head", hub=True, member=["worker"], listen="::1")
    soon(lambda: span.text("head") == "starting: waiting for node worker", "the head waits")
    speak(span.port, b"x\n", "::1")
    soon(lambda: "refused ::1: what it says is no message" in span.output("head"), "it is named")
    span.start("worker", hub_address="::1")
    soon(lambda: span.runs("head") and span.runs("worker"), "the worker is let in")
