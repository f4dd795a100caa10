# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: starts its program when the leader sends the start message, and stops it when the leader's generation ends."""

from __future__ import annotations

import argparse
import threading
import time

from . import base
from .base import Ended, Event
from .connection import Connection, Message, PeerError, connect, endpoint, text_of
from .threads import Heartbeat

# Seconds that one attempt to reach the leader may take: name lookup, connecting, and authentication of both sides.
CONNECT_SECONDS = 180.0


class Worker(base.Supervisor):
    """Supervises the program of a node, or the engine beside Ray's head node."""

    connection: Connection | None = None
    was_started = False
    reported_ready = False

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        # Whether the main thread has handled the loss of a connection. Until then it may still start the program for the generation of that connection.
        self.loss_handled = threading.Event()

    def run_generation(self) -> None:
        self.await_gpus()
        self.back_off()
        self.threads.start("talks to the leader", self.reach_leader)
        self.wait(lambda: self.was_started, None, str)
        self.recheck_gpus()
        self.start()
        self.wait(lambda: self.is_ready, self.options.start_timeout, lambda: f"{self.what} was not ready after {self.options.start_timeout:.0f} s")
        self.wait(lambda: False, None, str)

    def announce_end(self, ended: Ended) -> None:
        self.send({"ended": ended.reason, "requested": ended.requested})

    def reach_leader(self, heartbeat: Heartbeat) -> None:
        """Connect to the leader without a time limit, then pass on its messages. Runs in its own thread."""
        options = self.options
        while True:
            heartbeat.beat(CONNECT_SECONDS)
            try:
                connection = connect(
                    options.leader_address, options.port, self.token, options.service, options.name, options.digest, options.heartbeat_timeout,
                )
            except (OSError, ValueError, PeerError) as error:
                self.events.put(Event("unreachable", text=str(error)))
                time.sleep(1)
                continue
            self.events.put(Event("connected", connection))
            try:
                while True:
                    heartbeat.beat(3 * options.heartbeat_timeout)
                    self.events.put(Event("message", connection, connection.receive()))
            except (OSError, ValueError, PeerError) as error:
                self.events.put(Event("lost", connection, text=str(error)))
            finally:
                connection.close()
            # Not before the main thread has decided: a worker that has been told to start belongs to that generation alone, and must not join the next one.
            heartbeat.suspend()
            self.loss_handled.wait()
            self.loss_handled.clear()
            if self.was_started:
                return

    def send_heartbeat(self) -> None:
        """Tell the leader that this worker runs, and whether its program is ready."""
        self.send({"ready": self.is_ready, "warning": self.warning, "transport": self.transport.complaint(self.options.transport)})

    def send(self, message: dict[str, object]) -> None:
        """Send a message to the leader. When the connection is lost, the thread that reads from it reports that."""
        if self.connection is not None:
            try:
                self.connection.send(message)
            except OSError:
                pass

    def handle(self, event: Event) -> None:
        super().handle(event)
        name = self.options.leader_name
        leader = f"{name} ({endpoint(self.options.leader_address, self.options.port)})"
        if event.kind == "unreachable" and self.connection is None:
            since = self.state.note_missing([name])[name]
            status = f"degraded: node {name} missing since {since}" if self.state.has_served else f"starting: waiting for node {leader}"
            self.report(f"{status}: {event.text}")
        elif event.kind == "connected":
            self.connection = event.connection
            self.state.note_missing([])
        elif event.kind == "lost" and event.connection is self.connection:
            self.connection = None
            if self.was_started:
                self.state.note_missing([name])
                raise Ended(f"node {leader} was lost: {event.text}", count=False)
            self.loss_handled.set()
        elif event.kind == "message" and event.connection is self.connection:
            self.receive(event.message)
        elif event.kind == "ready" and not self.reported_ready:
            self.reported_ready = True
            self.send_heartbeat()

    def receive(self, message: Message) -> None:
        """Act on a message of the leader. Raises Ended."""
        ended, text = text_of(message, "ended"), text_of(message, "text")
        if ended:
            # The node that failed keeps the log of the failure; here only the generation ends.
            if self.was_started:
                # A reason about another node names that node; one about the leader says "it".
                reason = ended if ended.startswith("node ") else f"node {self.options.leader_name}: {ended}"
                raise Ended(reason, count=False, requested=message.get("requested") is True)
            return
        if message.get("start") is True:
            self.was_started = True
        if message.get("serves") is True:
            self.report_serving(text)
        elif text:
            self.report(text)
