# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TCP between simulated hosts: latency, partitions in one direction or both, resets, connections that a rebooted host does not know any more.

Each message of a sender is one segment. When the path drops it, it is sent again after 0.2, 0.4, 0.8, … seconds as Linux does, so that a
partition is felt for up to twice its length.
"""

from __future__ import annotations

import collections
import errno
import os
import select
import socket
from collections.abc import Callable
from typing import Any

from .scheduler import Scheduler, Thread

LATENCY = 0.0005
FIRST_RETRY, LONGEST_RETRY, GIVES_UP = 0.2, 120.0, 924.0
# When a client sends SYN again, in seconds from the first.
SYN_RETRIES = (0.0, 1.0, 3.0, 7.0, 15.0, 31.0)


def os_error(number: int) -> OSError:
    """Return the exception of an error number, of the class that Python has for it."""
    return OSError(number, os.strerror(number))


class Network:
    """All paths and listening sockets. Hosts have C(address), C(is_up), C(has) and C(reserved), ports that another program holds."""

    def __init__(self, scheduler: Scheduler, emit: Callable[..., None]) -> None:
        self.scheduler = scheduler
        self.emit = emit
        self.hosts: dict[str, Any] = {}
        self.listeners: dict[tuple[str, int], Listener] = {}
        self.endpoints: set[Endpoint] = set()
        self.dropped_until: dict[tuple[str, str], float] = {}
        self.slow_until: dict[tuple[str, str], float] = {}
        self.slow_seconds = 0.0

    def reaches(self, sender: Any, receiver: Any) -> bool:
        """Whether packets arrive."""
        if not (sender.is_up and receiver.is_up):
            return False
        return sender is receiver or self.dropped_until.get((sender.address, receiver.address), 0.0) <= self.scheduler.now

    def latency(self, sender: Any, receiver: Any) -> float:
        """Seconds on the path."""
        return LATENCY + (self.slow_seconds if self.slow_until.get((sender.address, receiver.address), 0.0) > self.scheduler.now else 0.0)

    def pair(self, listener: Listener, host: Any, process: Any) -> Endpoint:
        """Return the client's side of a new connection to a listener; its other side waits there to be accepted."""
        client, server = Endpoint(self, host, process, listener.host), Endpoint(self, listener.host, listener.process, host)
        client.peer, server.peer = server, client
        self.endpoints.update((client, server))
        listener.backlog.append(server)
        for thread in listener.readers:
            self.scheduler.wake(thread)
        return client

    def connect(self, process: Any, address: str, port: int, timeout: float) -> Endpoint:
        """Connect from a thread of a process. Raises OSError."""
        scheduler, host, target = self.scheduler, process.host, self.hosts[address]
        began = scheduler.now
        for seconds in SYN_RETRIES:
            if began + seconds >= began + timeout:
                break
            if began + seconds > scheduler.now:
                scheduler.block(began + seconds)
            round_trip = self.latency(host, target) + self.latency(target, host)
            if self.reaches(host, target) and self.reaches(target, host) and round_trip < timeout - seconds:
                scheduler.sleep(round_trip)
                listener = self.listeners.get((address, port))
                if listener is None:
                    raise os_error(errno.ECONNREFUSED)
                return self.pair(listener, host, process)
        scheduler.block(began + timeout)
        raise socket.timeout("timed out")

    def listen(self, process: Any, host: Any, port: int) -> Listener:
        """Listen on a port of a host. Raises OSError when it is in use."""
        if (host.address, port) in self.listeners or port in host.reserved:
            raise os_error(errno.EADDRINUSE)
        listener = Listener(self, host, port, process)
        self.listeners[host.address, port] = listener
        return listener

    def drop(self, sender: str, receiver: str, seconds: float) -> None:
        """Drop all packets of one direction for a time."""
        self.dropped_until[sender, receiver] = max(self.dropped_until.get((sender, receiver), 0.0), self.scheduler.now + seconds)

    def slow_down(self, sender: str, receiver: str, latency: float, seconds: float) -> None:
        """Delay all packets of one direction for a time."""
        self.slow_seconds = latency
        self.slow_until[sender, receiver] = self.scheduler.now + seconds

    def heal(self) -> None:
        """Make all paths well."""
        self.dropped_until.clear()
        self.slow_until.clear()

    def reset_between(self, first: str, second: str) -> None:
        """Reset all connections between two hosts, as a firewall does that forgets them."""
        for endpoint in list(self.endpoints):
            if {endpoint.host.address, endpoint.other.address} == {first, second}:
                endpoint.reset(errno.ECONNRESET)

    def crash(self, host: Any) -> None:
        """A host loses power: its connections vanish without a word."""
        for endpoint in list(self.endpoints):
            if endpoint.host is host:
                endpoint.forget()
        for key in [key for key in self.listeners if key[0] == host.address]:
            del self.listeners[key]


class Endpoint:
    """One side of a connection, with the methods of a socket that the product uses."""

    def __init__(self, network: Network, host: Any, process: Any, other: Any) -> None:
        self.network = network
        self.host = host
        self.other = other
        self.process = process
        self.peer: Endpoint = self
        self.readers: list[Thread] = []
        self.closed = False
        self.on_data: Callable[[], None] | None = None
        self._number = process.open(self) if process is not None else -1
        self._known = True
        self._buffer = b""
        self._ended = False
        self._is_shut = False
        self._error = 0
        self._unsent: collections.deque[bytes] = collections.deque()
        self._retry_after = 0.0
        self._waited = 0.0
        self._last_arrival = 0.0

    # What the product calls

    def fileno(self) -> int:
        return -1 if self.closed else self._number

    def settimeout(self, seconds: float) -> None:
        """Sending never blocks here: messages are far smaller than a socket's buffer."""

    def setsockopt(self, *words: int) -> None:
        """No effect in the simulation."""

    def is_readable(self) -> bool:
        return bool(self._buffer or self._ended or self._error or self.closed)

    def recv(self, size: int) -> bytes:
        if self.closed:
            raise os_error(errno.EBADF)
        if self._buffer:
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return data
        if self._error:
            raise os_error(self._error)
        assert self._ended, "the product polls before it reads"
        return b""

    def sendall(self, data: bytes) -> None:
        self.network.scheduler.preempt()
        self.network.emit("sent", data=data)
        if self.closed:
            raise os_error(errno.EBADF)
        if self._is_shut or self._error:
            raise os_error(self._error or errno.EPIPE)
        self._transmit(data)

    def shutdown(self, how: int) -> None:
        if self.closed or self._error:
            raise os_error(errno.EBADF if self.closed else errno.ENOTCONN)
        if not self._is_shut:
            self._is_shut = self._ended = True
            self._transmit(b"")
            self._wake()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        if self.process is not None:
            self.process.files.pop(self._number, None)
        if self._known and not self._error and not self._is_shut:
            if self._buffer:
                self._send_reset()
            else:
                self._transmit(b"")
        self._is_shut = True

    # What the network does

    def _wake(self) -> None:
        for thread in self.readers:
            self.network.scheduler.wake(thread)
        if self.on_data is not None:
            self.on_data()

    def _transmit(self, piece: bytes) -> None:
        """Send a segment; an empty one is FIN."""
        self._unsent.append(piece)
        if len(self._unsent) == 1:
            self._retry_after, self._waited = FIRST_RETRY, 0.0
            self._send_unsent()

    def _send_unsent(self) -> None:
        network = self.network
        if not self._known or not self._unsent:
            return
        if not network.reaches(self.host, self.other):
            if self._waited > GIVES_UP:
                self.reset(errno.ETIMEDOUT)
                return
            network.scheduler.after(self._retry_after, self._send_unsent)
            self._waited += self._retry_after
            self._retry_after = min(LONGEST_RETRY, 2 * self._retry_after)
            return
        for piece in self._unsent:
            self._last_arrival = max(network.scheduler.now + network.latency(self.host, self.other), self._last_arrival + 1e-6)
            network.scheduler.at(self._last_arrival, self.peer.arrive, piece)
        self._unsent.clear()

    def _send_reset(self) -> None:
        if self.network.reaches(self.host, self.other):
            self.network.scheduler.after(self.network.latency(self.host, self.other), self.peer.reset, errno.ECONNRESET)

    def arrive(self, piece: bytes) -> None:
        """A segment arrives."""
        if not self.host.is_up:
            return
        if not self._known or (self.closed and piece):
            self._send_reset()
        elif not piece:
            self._ended = True
            self._wake()
            if self.closed:
                self.network.endpoints.discard(self)
        elif not self._is_shut and not self._error:
            self._buffer += piece
            self._wake()

    def reset(self, number: int) -> None:
        """The connection is broken."""
        if not self._error:
            self._error = number
            self._unsent.clear()
            self.network.endpoints.discard(self)
            self._wake()

    def forget(self) -> None:
        """Its host has lost power."""
        self._known = False
        self.network.endpoints.discard(self)


class Listener:
    """A listening socket. Without a process a program listens that answers nothing."""

    def __init__(self, network: Network, host: Any, port: int, process: Any) -> None:
        self.network = network
        self.host = host
        self.port = port
        self.process = process
        self.backlog: collections.deque[Endpoint] = collections.deque()
        self.readers: list[Thread] = []
        self._timeout = 0.0
        self._number = process.open(self) if process is not None else -1
        self._closed = False

    def settimeout(self, seconds: float) -> None:
        self._timeout = seconds

    def accept(self) -> tuple[Endpoint, tuple[str, int]]:
        scheduler = self.network.scheduler
        deadline = scheduler.now + self._timeout
        while not self.backlog:
            if scheduler.now >= deadline:
                raise socket.timeout("timed out")
            wait_for(self, scheduler, deadline)
        if self.host.has("no_files"):
            raise os_error(errno.EMFILE)
        endpoint = self.backlog.popleft()
        return endpoint, (endpoint.other.address, 40000)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.network.listeners.pop((self.host.address, self.port), None)
        if self.process is not None:
            self.process.files.pop(self._number, None)
        for endpoint in self.backlog:
            endpoint.close()


class Poll:
    """C(select.poll()) of one socket."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._number = -1

    def register(self, number: int, _mask: int) -> None:
        self._number = number

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        thread = self._scheduler.current
        assert thread is not None
        found = thread.process.files.get(self._number)
        if found is None:
            return [(self._number, select.POLLNVAL)]
        deadline = self._scheduler.now + milliseconds / 1000
        while not found.is_readable():
            if self._scheduler.now >= deadline:
                return []
            wait_for(found, self._scheduler, deadline)
        return [(self._number, select.POLLIN)]


def wait_for(file: Endpoint | Listener, scheduler: Scheduler, deadline: float) -> None:
    """Block the current thread until something happens to a socket."""
    thread = scheduler.current
    assert thread is not None
    file.readers.append(thread)
    try:
        scheduler.block(deadline)
    finally:
        file.readers.remove(thread)
