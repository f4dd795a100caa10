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
import socket
import threading
import time
import typing as t

# Seconds between two signs of life, and seconds for the other side to prove itself.
BEAT_SECONDS = 2.0
GREETING_SECONDS = 10.0
# A message is a few hundred bytes; whoever sends more is nobody of ours.
LONGEST_LINE = 65536
PROTOCOL = 1

Message = t.Dict[str, t.Any]


class LinkFault(Exception):
    """The other side is not who it should be, or does not answer."""


class Refused(LinkFault):
    """The other side is the right one and does not want this part: another plan, or a part that it does not know."""


def code(key: bytes, *words: str) -> str:
    """Return the message authentication code of some words, SHA-256 in hexadecimal."""
    return hmac.new(key, "\n".join(words).encode(), hashlib.sha256).hexdigest()


class Link:
    """A connection after both sides have proven themselves. C(name) is the other part."""

    def __init__(self, connection: socket.socket, reader: t.BinaryIO, name: str, key: bytes, sends: str, receives: str) -> None:
        self.name = name
        self.life = ""
        self._connection = connection
        self._reader = reader
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
        envelope = read_line(self._reader)
        body = str(envelope.get("body"))
        if not hmac.compare_digest(str(envelope.get("code")), code(self._key, self._directions[1], str(self._received), body)):
            raise LinkFault("a message has a wrong code")
        self._received += 1
        return t.cast(Message, json.loads(body))

    def close(self) -> None:
        """End the connection, also under who waits in C(receive)."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # The other side was faster.
        self._connection.close()


def read_line(reader: t.BinaryIO) -> Message:
    """Return the next line as a message. Raises OSError and LinkFault."""
    line = reader.readline(LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise LinkFault("the connection was closed")
    try:
        message = json.loads(line)
    except ValueError as error:
        raise LinkFault("what it says is no message") from error
    if not isinstance(message, dict):
        raise LinkFault("what it says is no message")
    return message


def prepare(connection: socket.socket, seconds: float) -> t.BinaryIO:
    """Set how long to wait for the other side, and return what reads from it."""
    connection.settimeout(seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return t.cast(t.BinaryIO, connection.makefile("rb"))


def greet(connection: socket.socket, token: str, span: str, name: str, digest: str, silence: float) -> Link:
    """Prove this part to the hub, and have the hub prove itself. C(silence) is after how many seconds without a word the link is lost.

    Raises Refused with the hub's reason, LinkFault and OSError.
    """
    key = token.encode()
    reader = prepare(connection, GREETING_SECONDS)
    theirs = str(read_line(reader).get("nonce"))
    ours = secrets.token_hex(16)
    proof = code(key, "part", span, name, theirs, ours)
    hello = {"protocol": PROTOCOL, "span": span, "name": name, "digest": digest, "nonce": ours, "code": proof}
    connection.sendall(json.dumps(hello).encode() + b"\n")
    answer = read_line(reader)
    life, reason = str(answer.get("life", "")), str(answer.get("refused", ""))
    if not hmac.compare_digest(str(answer.get("code")), code(key, "hub", span, life, reason, theirs, ours)):
        raise LinkFault("it does not have the token of this service")
    if reason:
        raise Refused(reason)
    connection.settimeout(silence)
    link = Link(connection, reader, "hub", hmac.new(key, f"{theirs}{ours}".encode(), hashlib.sha256).digest(), "part", "hub")
    link.life = life
    return link


def welcome(connection: socket.socket, token: str, span: str, digest: str, life: str, refuse: t.Callable[[str], str], silence: float) -> Link:
    """Let a part prove itself to this hub, and prove the hub to it. C(refuse) returns why a part of this name is not wanted, or an empty text.

    Raises LinkFault and OSError.
    """
    key = token.encode()
    reader = prepare(connection, GREETING_SECONDS)
    ours = secrets.token_hex(16)
    connection.sendall(json.dumps({"protocol": PROTOCOL, "nonce": ours}).encode() + b"\n")
    hello = read_line(reader)
    name, theirs = str(hello.get("name")), str(hello.get("nonce"))
    if hello.get("span") != span or not hmac.compare_digest(str(hello.get("code")), code(key, "part", span, name, ours, theirs)):
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
    return Link(connection, reader, name, hmac.new(key, f"{ours}{theirs}".encode(), hashlib.sha256).digest(), "hub", "part")


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
