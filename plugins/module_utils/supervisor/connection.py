# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection between the parts of a service over several hosts: who is there, and in which life of the service.

A line of JSON a message. Both sides prove first that they have the service's token, which itself is never sent; each message after that bears
a code made with a key of this connection, so that nobody between the hosts can say anything in the name of one. Nothing is kept secret: what is
said is who runs and who does not.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import select
import socket
import threading
import time
import typing as t

# Seconds between two signs of life, and seconds for the other side to prove itself, all of it together.
BEAT_SECONDS = 2.0
GREETING_SECONDS = 10.0
# A message is a few hundred bytes; whoever sends more is nobody of ours. Nor is a text of one longer than this.
LONGEST_LINE = 65536
LONGEST_TEXT = 4096
PROTOCOL = 1

Message = t.Dict[str, t.Any]


class LinkFault(Exception):
    """The other side is not who it should be, or does not answer."""


class Refused(LinkFault):
    """The other side is the right one and does not want this part: another plan, or a part that it does not know."""


def code(key: bytes, *words: str) -> str:
    """Return the message authentication code of some words, SHA-256 in hexadecimal."""
    return hmac.new(key, "\n".join(words).encode(), hashlib.sha256).hexdigest()


def agree(given: str, computed: str) -> bool:
    """Whether a code that somebody sent is the right one. As bytes: compare_digest refuses text beyond ASCII, which anybody may send."""
    return hmac.compare_digest(given.encode(errors="replace"), computed.encode())


def text_of(message: Message, key: str) -> str:
    """Return a text of a message, on one line and bounded; empty where the message has none or something else there."""
    found = message.get(key)
    return one_line(found) if isinstance(found, str) else ""


def one_line(words: str) -> str:
    """Return a text, bounded, and without what a terminal, the journal or systemd's socket would act upon."""
    words = words[:LONGEST_TEXT]
    return words if words.isprintable() else "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words)


class Lines:
    """The lines that a connection brings, each within a time of its own: who sends a byte now and then does not hold anybody for ever."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""

    def next(self, deadline: float) -> Message:
        """Return the next line as a message. Raises OSError and LinkFault.

        :param deadline: by the monotonic clock, in seconds
        """
        while b"\n" not in self._rest:
            if len(self._rest) >= LONGEST_LINE:
                raise LinkFault("what it says is no message")
            piece = self._receive(deadline)
            if not piece:
                raise LinkFault("the connection was closed")
            self._rest += piece
        line, _end, self._rest = self._rest.partition(b"\n")
        return parse(line)

    def _receive(self, deadline: float) -> bytes:
        # Not by the socket's own timeout, which belongs to who sends in another thread.
        number = self._connection.fileno()
        if number < 0:
            raise LinkFault("the connection was closed")
        waiting = select.poll()
        waiting.register(number, select.POLLIN)
        if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise LinkFault("timed out")
        return self._connection.recv(LONGEST_LINE)


def parse(line: bytes) -> Message:
    """Return a line as a message. Raises LinkFault for everything that is none, whatever a parser makes of it."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LinkFault("what it says is no message") from error
    if not isinstance(message, dict):
        raise LinkFault("what it says is no message")
    return message


class Link:
    """A connection after both sides have proven themselves. C(name) is the other part, C(silence) how many seconds a message may take to come."""

    def __init__(self, connection: socket.socket, lines: Lines, name: str, key: bytes, sends: str, receives: str, silence: float) -> None:
        self.name = name
        self.life = ""
        self._connection = connection
        self._lines = lines
        self._silence = silence
        self._key = key
        self._directions = (sends, receives)
        self._sent = 0
        self._received = 0
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Send a message. Raises OSError when the connection is gone."""
        with self._lock:
            body = json.dumps(message)
            line = json.dumps({"body": body, "code": code(self._key, self._directions[0], str(self._sent), body)})
            self._sent += 1
            self._connection.sendall(line.encode() + b"\n")

    def receive(self) -> Message:
        """Wait for the next message. Raises OSError and LinkFault when the connection is gone, silent for too long, or somebody else's."""
        envelope = self._lines.next(time.monotonic() + self._silence)
        body = envelope.get("body")
        if not isinstance(body, str) or not agree(text_of(envelope, "code"), code(self._key, self._directions[1], str(self._received), body)):
            raise LinkFault("a message has a wrong code")
        self._received += 1
        return parse(body.encode(errors="replace"))

    def close(self) -> None:
        """End the connection, also under who waits in C(receive)."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # The other side was faster.
        self._connection.close()


def prepare(connection: socket.socket) -> tuple[Lines, float]:
    """Return what reads from a new connection, and until when the other side has to have proven itself."""
    connection.settimeout(GREETING_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Lines(connection), time.monotonic() + GREETING_SECONDS


def greet(connection: socket.socket, token: str, span: str, name: str, digest: str, silence: float) -> Link:
    """Prove this part to the hub, and have the hub prove itself. C(silence) is after how many seconds without a word the link is lost.

    Raises Refused with the hub's reason, LinkFault and OSError.
    """
    key = token.encode()
    lines, deadline = prepare(connection)
    theirs = text_of(lines.next(deadline), "nonce")
    ours = secrets.token_hex(16)
    proof = code(key, "part", span, name, theirs, ours)
    hello = {"protocol": PROTOCOL, "span": span, "name": name, "digest": digest, "nonce": ours, "code": proof}
    connection.sendall(json.dumps(hello).encode() + b"\n")
    answer = lines.next(deadline)
    life, reason = text_of(answer, "life"), text_of(answer, "refused")
    if not agree(text_of(answer, "code"), code(key, "hub", span, life, reason, theirs, ours)):
        raise LinkFault("it does not have the token of this service")
    if reason:
        raise Refused(reason)
    connection.settimeout(silence)
    link = Link(connection, lines, "hub", hmac.new(key, f"{theirs}{ours}".encode(), hashlib.sha256).digest(), "part", "hub", silence)
    link.life = life
    return link


def welcome(connection: socket.socket, token: str, span: str, digest: str, life: str, refuse: t.Callable[[str], str], silence: float) -> Link:
    """Let a part prove itself to this hub, and prove the hub to it. All that it says until then is a stranger's.

    C(refuse) returns why a part of this name is not wanted, or an empty text.

    Raises LinkFault and OSError.
    """
    key = token.encode()
    lines, deadline = prepare(connection)
    ours = secrets.token_hex(16)
    connection.sendall(json.dumps({"protocol": PROTOCOL, "nonce": ours}).encode() + b"\n")
    hello = lines.next(deadline)
    name, theirs = text_of(hello, "name"), text_of(hello, "nonce")
    if hello.get("span") != span or not agree(text_of(hello, "code"), code(key, "part", span, name, ours, theirs)):
        raise LinkFault("somebody without the token of this service")
    reason = refuse(name)
    if hello.get("protocol") != PROTOCOL:
        reason = "it runs another version of the supervisor"
    elif hello.get("digest") != digest:
        reason = "it runs another plan of the service"
    answer = {"life": life, "refused": reason, "code": code(key, "hub", span, life, reason, ours, theirs)}
    connection.sendall(json.dumps(answer).encode() + b"\n")
    if reason:
        raise Refused(f"{name}: {reason}")
    connection.settimeout(silence)
    return Link(connection, lines, name, hmac.new(key, f"{ours}{theirs}".encode(), hashlib.sha256).digest(), "hub", "part", silence)


def connect(address: str, port: int, token: str, span: str, name: str, digest: str, silence: float) -> Link:
    """Connect to the hub. Raises Refused, LinkFault and OSError."""
    connection = socket.create_connection((address, port), timeout=GREETING_SECONDS)
    try:
        return greet(connection, token, span, name, digest, silence)
    except (OSError, LinkFault):
        connection.close()
        raise


def listen(address: str, port: int, seconds: float = 60.0) -> socket.socket:
    """Return a listening socket. A former life may still be leaving the port: tried for some seconds. Raises OSError."""
    deadline = time.monotonic() + seconds
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        try:
            return socket.create_server((address, port), family=family)
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(1)
