# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Messages between processes: a JSON object on each line of a socket."""

from __future__ import annotations

import json
import socket
import threading
import time
import typing as t


# The channels of this process. One that it forks closes those that are not its own: the other side would not notice the end of this one.
OPEN: list[Channel] = []


class Channel:
    """One end of a connection."""

    def __init__(self, channel: socket.socket) -> None:
        self._socket = channel
        self._file = channel.makefile("rb")
        self._lock = threading.Lock()
        OPEN.append(self)

    def close(self) -> None:
        """Close this process's end."""
        OPEN.remove(self)
        self._file.close()
        self._socket.close()

    def send(self, **message: t.Any) -> None:
        """Send a message. Raises OSError."""
        with self._lock:
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, t.Any]:
        """Wait for the next message. Raises EOFError when the other side has ended, and OSError."""
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the other side has ended")
        found: dict[str, t.Any] = json.loads(line)
        return found


def pair() -> tuple[Channel, Channel]:
    """Both ends of a connection inside this host."""
    ours, theirs = socket.socketpair()
    return Channel(ours), Channel(theirs)


def connect(address: str, port: int) -> Channel:
    """Connect to another node, and retry until it listens."""
    while True:
        try:
            channel = socket.create_connection((address, port), timeout=10)
        except OSError:
            time.sleep(0.2)
            continue
        channel.settimeout(None)
        return Channel(channel)


def hang() -> t.NoReturn:
    """Wait for ever, as vLLM does for an answer of a rank that no longer exists."""
    while True:
        time.sleep(3600)
