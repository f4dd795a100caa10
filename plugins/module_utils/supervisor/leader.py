# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The leader of a multi-node service, on its head: it waits for all workers, starts all programs in order, and stops them together.

One generation of the leader is one generation of the service. When a worker is lost or any program ends, the leader ends the generation: the
supervisors stop all programs on all nodes. systemd then starts the next generation with nothing left of the previous one: no ranks, no actors, no
placement groups, no shared memory.
"""

from __future__ import annotations

import argparse
import errno
import os
import secrets
import socket
import subprocess
import time
import typing as t

from .. import _exit_status
from . import admission, base
from .base import Ended, Event
from .connection import HANDSHAKE_SECONDS, Connection, Message, PeerError, admit, endpoint, listen, one_line, text_of
from .threads import Heartbeat

# Timeout of accept(2) in seconds, and the wait after a connection that could not be accepted.
ACCEPT_SECONDS = 1.0
# Seconds for which the leader tries to listen, since another program may still hold its port, and between two attempts.
LISTEN_SECONDS = 60.0
LISTEN_RETRY_SECONDS = 1.0
# Errors of accept(2) that mean that the listening socket itself is unusable. All others are temporary: a closed connection, no file handle, no memory.
BROKEN_SOCKET = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP)
# Refused connections that are remembered, and those that the status names.
MAX_REFUSED = 100
SHOWN_REFUSED = 3
# Seconds that a worker has to report that its program was not ready in time.
WORKER_GRACE_SECONDS = 10.0
# Longest line of the check's output.
LONGEST_LINE = 1000


class Leader(base.Supervisor):
    """Supervises the head's program. C(connections) are the workers that have joined, by name; C(ready) those whose program is ready."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.generation = secrets.token_hex(8)
        self.connections: dict[str, Connection] = {}
        self.ready: set[str] = set()
        self.warnings: dict[str, str] = {}
        # Refused connections with the reason, since a worker last joined; and all that were written to the journal.
        self.refused: list[str] = []
        self.logged: set[str] = set()
        # Whether all workers have joined, so that the generation has started.
        self.is_complete = False
        self.serving = False
        self.checked = False
        self.admission = admission.Admission()

    def run_generation(self) -> None:
        self.await_gpus()
        self.back_off()
        server = self.listen()
        self.threads.start("accepts workers", lambda heartbeat: self.accept(server, heartbeat), for_ever=True)
        self.wait_for_workers()
        self.is_complete = True
        for step in self.options.order:
            getattr(self, f"start_{step}")()
        self.wait(lambda: False, None, str)

    def announce_end(self, ended: Ended) -> None:
        self.broadcast({"ended": ended.reason, "requested": ended.requested})

    # Workers join

    def listen(self) -> socket.socket:
        """Return the socket that workers connect to."""
        self.report("starting")
        deadline = time.monotonic() + LISTEN_SECONDS
        while True:
            try:
                return listen(self.options.listen, self.options.port)
            except OSError as error:
                reason = f"cannot listen on {endpoint(self.options.listen, self.options.port)}: {os.strerror(error.errno or 0)}"
            if time.monotonic() >= deadline:
                raise Ended(reason, count=False)
            self.report(f"starting: {reason}")
            # Not a plain sleep: the main thread handles a request to stop meanwhile.
            self.pause(LISTEN_RETRY_SECONDS)

    def accept(self, server: socket.socket, heartbeat: Heartbeat) -> None:
        """Accept connections, each in a thread of its own. Runs in a thread of its own."""
        server.settimeout(ACCEPT_SECONDS)
        while True:
            heartbeat.beat(20 * ACCEPT_SECONDS)
            try:
                channel, address = server.accept()
            except socket.timeout:
                continue
            except OSError as error:
                if error.errno in BROKEN_SOCKET:
                    raise
                self.events.put(Event("refused", name="a connection", text=f"it could not be accepted: {error.strerror}"))
                time.sleep(ACCEPT_SECONDS)
                continue
            self.accept_one(channel, address[0])

    def accept_one(self, channel: socket.socket, address: str) -> None:
        """Serve a connection, unless too many have not authenticated yet."""
        full = self.admission.enter(address)
        if not full:
            try:
                self.threads.start(f"serves {address}", lambda heartbeat: self.serve_connection(channel, address, heartbeat))
                return
            except RuntimeError as error:
                self.admission.leave(address)
                full = str(error)
        self.events.put(Event("refused", name=address, text=full))
        channel.close()

    def serve_connection(self, channel: socket.socket, address: str, heartbeat: Heartbeat) -> None:
        """Authenticate one worker and pass on its messages until it is lost. Runs in a thread of its own."""
        options = self.options
        heartbeat.beat(3 * HANDSHAKE_SECONDS)
        try:
            connection = admit(channel, self.token, options.service, options.digest, self.generation, self.refuse, options.heartbeat_timeout)
        except (OSError, ValueError, PeerError) as error:
            self.events.put(Event("refused", name=address, text=str(error)))
            channel.close()
            return
        finally:
            self.admission.leave(address)
        self.events.put(Event("connected", connection))
        try:
            while True:
                heartbeat.beat(3 * options.heartbeat_timeout)
                self.events.put(Event("message", connection, connection.receive()))
        except (OSError, ValueError, PeerError) as error:
            self.events.put(Event("lost", connection, text=str(error)))
        finally:
            connection.close()

    def refuse(self, name: str) -> str:
        """Return why a worker is refused; empty when it may join."""
        if name not in self.options.worker:
            return "the service has no such node"
        if self.is_complete:
            # The worker lost its previous connection, and connects again before the heartbeat timeout.
            self.events.put(Event("rejoined", text=name))
            return "the service is running and restarts now"
        return ""

    def missing(self) -> list[str]:
        return [name for name in self.options.worker if name not in self.connections]

    def wait_for_workers(self) -> None:
        """Wait until all workers have joined."""
        def all_joined() -> bool:
            missing = self.missing()
            if missing:
                self.report(self.waiting_for(missing))
            return not missing

        seconds = self.options.join_timeout
        self.wait(all_joined, seconds, lambda: f"{self.waiting_for(self.missing())}; gave up after {seconds:.0f} s")
        self.state.note_missing([])

    def waiting_for(self, missing: list[str]) -> str:
        since = self.state.note_missing(missing)
        if not self.state.has_served:
            text = "starting: waiting for " + ", ".join(shown(name) for name in missing)
        else:
            text = "degraded: " + ", ".join(f"{shown(name)} missing since {since[name]}" for name in missing)
        reasons = self.refused[-SHOWN_REFUSED:]
        return text + (f" (refused {'; '.join(reasons)})" if reasons else "")

    # The steps of a start; options.order has their order

    def start_self(self) -> None:
        """Start this unit's own program."""
        self.recheck_gpus()
        self.report(f"starting: {self.what}")
        self.start()
        if self.options.wait_self:
            self.wait_until_ready()

    def start_nodes(self) -> None:
        """Start the other nodes' programs and wait until they are ready."""
        self.start_workers([name for name in self.options.worker if name != base.ENGINE])

    def start_serve(self) -> None:
        """Report that the service serves."""
        self.begin_to_serve()

    def start_engine(self) -> None:
        """Start the engine beside Ray's head node and wait for its first completion."""
        self.start_workers([base.ENGINE])

    def start_serving(self) -> None:
        """Wait until this unit's own program, the engine, is ready, and report that the service serves."""
        self.wait_until_ready()
        self.begin_to_serve()

    def start_check(self) -> None:
        """Run the check. For Ray it waits until all nodes and GPUs are registered."""
        self.report("starting: waiting for Ray's nodes")
        self.threads.start("waits for Ray's nodes", self.check)
        seconds = self.options.join_timeout
        self.wait(lambda: self.checked, seconds, lambda: f"Ray did not have all nodes and GPUs after {seconds:.0f} s: {self.state.status}")

    def check(self, heartbeat: Heartbeat) -> None:
        """Run the check, which prints what it waits for and ends when nothing is missing. Runs in a thread of its own."""
        # The main thread limits how long it may take.
        heartbeat.suspend()
        try:
            command = subprocess.Popen(self.options.check, env=self.process.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except OSError as error:
            self.events.put(Event("checked", status=1, text=f"it cannot be started: {one_line(str(error))}"))
            return
        output = t.cast(t.BinaryIO, command.stdout)
        last = ""
        for raw in iter(lambda: output.readline(LONGEST_LINE), b""):
            last = one_line(raw.decode(errors="replace").strip())
            print(last, flush=True)
            self.events.put(Event("waiting", text=last))
        self.events.put(Event("checked", status=command.wait(), text=last))

    def wait_until_ready(self) -> None:
        """Wait until this unit's own program is ready."""
        seconds = self.options.start_timeout
        self.wait(lambda: self.is_ready, seconds, lambda: f"{self.what} was not ready after {seconds:.0f} s")

    def start_workers(self, names: list[str]) -> None:
        """Have these workers start their programs, and wait until all of them are ready."""
        if not names:
            return
        self.report("starting: " + ", ".join(shown(name) for name in names))
        self.start_workers_now(names)
        self.await_workers(names)

    def start_together(self) -> None:
        """Start the programs of all nodes, and wait until the engine of each of them is ready."""
        self.recheck_gpus()
        self.report(f"starting: {', '.join([self.what, *(shown(name) for name in self.options.worker)])}")
        self.start_workers_now(self.options.worker)
        self.start()
        self.wait_until_ready()
        self.await_workers(self.options.worker)

    def start_workers_now(self, names: list[str]) -> None:
        """Have these workers start their programs."""
        for name in names:
            self.send(self.connections[name], {"start": True})

    def await_workers(self, names: list[str]) -> None:
        """Wait until these workers are ready."""
        # Later than the worker itself, which has the same timeout: then the unit whose program has failed counts that and names the cause.
        seconds = self.options.start_timeout + WORKER_GRACE_SECONDS
        self.wait(lambda: self.ready >= set(names), seconds,
                  lambda: f"{', '.join(shown(name) for name in names if name not in self.ready)} not ready after {seconds:.0f} s", count=False)

    def begin_to_serve(self) -> None:
        """Report to systemd and to all workers that the service serves."""
        self.serving = True
        self.report_serving(self.serving_status())
        self.send_heartbeat()

    def serving_status(self) -> str:
        """The status line of a service that serves."""
        nodes = [name for name in self.options.worker if name != base.ENGINE]
        warnings = [text for text in (self.warning, self.transport.complaint(self.options.transport), *self.warnings.values()) if text]
        return f"serving on {', '.join([self.options.name, *nodes])}{': ' + '; '.join(dict.fromkeys(warnings)) if warnings else ''}"

    # Events

    def send_heartbeat(self) -> None:
        text = self.serving_status() if self.serving else self.state.status
        if self.serving:
            # Also READY=1, which systemd's socket may have refused before.
            self.report_serving(text)
        self.broadcast({"serves": self.serving, "text": text})

    def broadcast(self, message: dict[str, object]) -> None:
        """Send a message to all workers."""
        for connection in list(self.connections.values()):
            self.send(connection, message)

    def send(self, connection: Connection, message: dict[str, object]) -> None:
        """Send a message to one worker. When the connection is lost, the thread that reads from it reports that."""
        try:
            connection.send(message)
        except OSError:
            connection.close()

    def handle(self, event: Event) -> None:
        super().handle(event)
        connection = event.connection
        if event.kind == "refused":
            self.log_refused(f"{event.name}: {event.text}")
        elif event.kind == "waiting":
            self.report(f"starting: {event.text}")
        elif event.kind == "checked":
            if event.status:
                raise Ended(f"the check of Ray's nodes {_exit_status.describe(event.status)}: {event.text}")
            self.checked = True
        elif event.kind == "rejoined":
            self.end_for_restarted(event.text)
        elif connection is None:
            return
        elif event.kind == "connected":
            if self.is_complete:
                # It was admitted just before the last worker joined: the start message went, or goes, to its previous connection.
                self.end_for_restarted(connection.name)
            self.refused.clear()
            before = self.connections.get(connection.name)
            if before is not None:
                before.close()
            self.connections[connection.name] = connection
        elif event.kind == "lost" and self.connections.get(connection.name) is connection:
            del self.connections[connection.name]
            if self.is_complete:
                self.state.note_missing([connection.name])
                raise Ended(f"{shown(connection.name)} was lost: {event.text}", count=False)
        elif event.kind == "message" and self.connections.get(connection.name) is connection:
            self.receive(connection.name, event.message)

    def end_for_restarted(self, name: str) -> t.NoReturn:
        """End the generation, since a worker of it has connected again. Raises Ended."""
        self.state.note_missing([name])
        raise Ended(f"{shown(name)} has restarted", count=False)

    def log_refused(self, text: str) -> None:
        """Log a refused connection, each text once, so that a client that connects again and again cannot fill the journal."""
        if text not in self.logged and len(self.logged) < MAX_REFUSED:
            self.logged.add(text)
            print(f"refused {text}", flush=True)
        if text not in self.refused and len(self.refused) < MAX_REFUSED:
            self.refused.append(text)

    def receive(self, name: str, message: Message) -> None:
        """Act on a message of a worker. Raises Ended."""
        ended = text_of(message, "ended")
        if ended:
            if self.is_complete:
                self.state.note_missing([name])
                # That unit counts its own failures and backs off; this one, whose program has not failed, is ready when it is back.
                raise Ended(f"{shown(name)}: {ended}", count=False, requested=message.get("requested") is True)
            return
        if message.get("ready") is True:
            self.ready.add(name)
        self.warnings[name] = "; ".join(filter(None, (text_of(message, key) for key in ("warning", "transport"))))


def shown(name: str) -> str:
    """A worker's name in messages."""
    return "the engine" if name == base.ENGINE else f"node {name}"
