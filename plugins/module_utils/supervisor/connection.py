# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection between a worker and the leader of a multi-node service.

Each message is a line of JSON. First both sides authenticate with the service's token, which is never sent itself. Each message after that
carries an authentication code made with a key of this connection, so that nobody on the network can send a message in their name. Messages are
not encrypted: they only say which programs run.
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

# Seconds between two heartbeats, and seconds that the other side has for the whole authentication.
HEARTBEAT_SECONDS = 2.0
HANDSHAKE_SECONDS = 10.0
# A message is a few hundred bytes. The supervisor rejects a longer line and truncates a longer text.
LONGEST_LINE = 65536
LONGEST_TEXT = 4096
PROTOCOL = 2
# The two sides as their messages name them.
LEADER, WORKER = "leader", "worker"

Message = t.Dict[str, t.Any]


class PeerError(Exception):
    """The other side failed to authenticate, sent something invalid, or does not answer."""


class Refused(PeerError):
    """The leader has authenticated and refuses this worker: its plan differs, or its name is unknown."""


def code(key: bytes, *words: str) -> str:
    """Return the message authentication code (HMAC) of some words: SHA-256 in hexadecimal."""
    return hmac.new(key, "\n".join(words).encode(), hashlib.sha256).hexdigest()


def matches(given: str, computed: str) -> bool:
    """Whether a received code equals the computed one. Compares bytes: compare_digest refuses non-ASCII text, which any sender may send."""
    return hmac.compare_digest(given.encode(errors="replace"), computed.encode())


def text_of(message: Message, key: str) -> str:
    """Return a text of a message, truncated and on one line; empty where the key is missing or has another type."""
    found = message.get(key)
    return one_line(found) if isinstance(found, str) else ""


def one_line(words: str) -> str:
    """Return a text, truncated, without characters that a terminal, the journal or systemd's socket would interpret."""
    words = words[:LONGEST_TEXT]
    return words if words.isprintable() else "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words)


class Lines:
    """Reads lines from a socket, each within its own deadline, so that a sender that trickles bytes blocks no thread for ever."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._rest = b""

    def next(self, deadline: float) -> Message:
        """Return the next line as a message. Raises OSError and PeerError.

        :param deadline: by the monotonic clock, in seconds
        """
        while b"\n" not in self._rest:
            if len(self._rest) >= LONGEST_LINE:
                raise PeerError("it sent no valid message")
            piece = self._receive(deadline)
            if not piece:
                raise PeerError("the connection was closed")
            self._rest += piece
        line, _end, self._rest = self._rest.partition(b"\n")
        return parse(line)

    def _receive(self, deadline: float) -> bytes:
        # Not the socket's own timeout: it would also apply to the thread that sends on this socket.
        number = self._channel.fileno()
        if number < 0:
            raise PeerError("the connection was closed")
        waiting = select.poll()
        waiting.register(number, select.POLLIN)
        if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise PeerError("timed out")
        return self._channel.recv(LONGEST_LINE)


def parse(line: bytes) -> Message:
    """Return a line as a message. Raises PeerError when the line is not a JSON object."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PeerError("it sent no valid message") from error
    if not isinstance(message, dict):
        raise PeerError("it sent no valid message")
    return message


class Connection:
    """A connection after both sides have authenticated. C(name) is the other side, C(heartbeat_timeout) the seconds within which a message has to come."""

    def __init__(self, channel: socket.socket, lines: Lines, name: str, key: bytes, sends: str, receives: str, heartbeat_timeout: float) -> None:
        self.name = name
        self.generation = ""
        self._channel = channel
        self._lines = lines
        self._timeout = heartbeat_timeout
        self._key = key
        self._directions = (sends, receives)
        self._sent = 0
        self._received = 0
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Send a message. Raises OSError when the connection is lost."""
        with self._lock:
            body = json.dumps(message)
            line = json.dumps({"body": body, "code": code(self._key, self._directions[0], str(self._sent), body)})
            self._sent += 1
            self._channel.sendall(line.encode() + b"\n")

    def receive(self) -> Message:
        """Wait for the next message. Raises OSError and PeerError when the connection is lost, silent for too long, or a message is not authentic."""
        envelope = self._lines.next(time.monotonic() + self._timeout)
        body = envelope.get("body")
        if not isinstance(body, str) or not matches(text_of(envelope, "code"), code(self._key, self._directions[1], str(self._received), body)):
            raise PeerError("a message has a wrong authentication code")
        self._received += 1
        return parse(body.encode(errors="replace"))

    def close(self) -> None:
        """Close the connection, also while another thread waits in C(receive)."""
        try:
            self._channel.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # The other side has closed it already.
        self._channel.close()


def prepare(channel: socket.socket) -> tuple[Lines, float]:
    """Return the reader of a new connection, and the deadline for the other side to authenticate."""
    channel.settimeout(HANDSHAKE_SECONDS)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Lines(channel), time.monotonic() + HANDSHAKE_SECONDS


def join(channel: socket.socket, token: str, service: str, name: str, digest: str, heartbeat_timeout: float) -> Connection:
    """Authenticate this worker to the leader, and the leader to this worker.

    Raises Refused with the leader's reason, PeerError and OSError.

    :param heartbeat_timeout: seconds without a message after which the connection is lost
    """
    key = token.encode()
    lines, deadline = prepare(channel)
    theirs = text_of(lines.next(deadline), "nonce")
    ours = secrets.token_hex(16)
    hello = {"protocol": PROTOCOL, "service": service, "name": name, "digest": digest, "nonce": ours, "code": code(key, WORKER, service, name, theirs, ours)}
    channel.sendall(json.dumps(hello).encode() + b"\n")
    answer = lines.next(deadline)
    generation, reason = text_of(answer, "generation"), text_of(answer, "refused")
    if not matches(text_of(answer, "code"), code(key, LEADER, service, generation, reason, theirs, ours)):
        raise PeerError("it does not have the token of this service")
    if reason:
        raise Refused(reason)
    channel.settimeout(heartbeat_timeout)
    shared = hmac.new(key, f"{theirs}{ours}".encode(), hashlib.sha256).digest()
    connection = Connection(channel, lines, LEADER, shared, WORKER, LEADER, heartbeat_timeout)
    connection.generation = generation
    return connection


def admit(
    channel: socket.socket, token: str, service: str, digest: str, generation: str, refuse: t.Callable[[str], str], heartbeat_timeout: float,
) -> Connection:
    """Authenticate a worker to this leader, and this leader to the worker. Until then the leader trusts nothing that the worker sends.

    Raises PeerError and OSError.

    :param refuse: returns why a worker of this name is refused, or an empty text
    """
    key = token.encode()
    lines, deadline = prepare(channel)
    ours = secrets.token_hex(16)
    channel.sendall(json.dumps({"protocol": PROTOCOL, "nonce": ours}).encode() + b"\n")
    hello = lines.next(deadline)
    name, theirs = text_of(hello, "name"), text_of(hello, "nonce")
    if hello.get("service") != service or not matches(text_of(hello, "code"), code(key, WORKER, service, name, ours, theirs)):
        raise PeerError("it does not have the token of this service")
    reason = refuse(name)
    if hello.get("protocol") != PROTOCOL:
        reason = "it runs a different version of the supervisor"
    elif hello.get("digest") != digest:
        reason = "it runs a different plan of the service"
    answer = {"generation": generation, "refused": reason, "code": code(key, LEADER, service, generation, reason, ours, theirs)}
    channel.sendall(json.dumps(answer).encode() + b"\n")
    if reason:
        raise Refused(f"{name}: {reason}")
    channel.settimeout(heartbeat_timeout)
    shared = hmac.new(key, f"{ours}{theirs}".encode(), hashlib.sha256).digest()
    return Connection(channel, lines, name, shared, LEADER, WORKER, heartbeat_timeout)


def connect(address: str, port: int, token: str, service: str, name: str, digest: str, heartbeat_timeout: float) -> Connection:
    """Connect to the leader. Raises Refused, PeerError and OSError."""
    channel = socket.create_connection((address, port), timeout=HANDSHAKE_SECONDS)
    try:
        return join(channel, token, service, name, digest, heartbeat_timeout)
    except (OSError, PeerError):
        channel.close()
        raise


def endpoint(address: str, port: int) -> str:
    """Return an address with a port as text; an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def listen(address: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError."""
    return socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
