# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub of a service over several hosts, on its head: it knows who is there, starts all parts in order, and ends them together.

One life of the hub is one life of the service. When a part is lost or its program ends, the life ends with all of its programs on all hosts, and
systemd begins the next with nothing left of the former: no ranks, no actors, no placement groups, no shared memory.
"""

from __future__ import annotations

import argparse
import errno
import secrets
import socket
import subprocess
import time

from .. import _exit_status
from . import admission, base
from .base import Ended, Event
from .connection import GREETING_SECONDS, Link, LinkFault, Message, listen, one_line, text_of, welcome
from .threads import Worker

# Seconds between two looks of the thread that lets parts in, and after a connection that could not be taken.
ACCEPT_SECONDS = 1.0
# What accept(2) says of a listening socket that is none any more. Everything else passes: a connection that was gone again, no file or memory left.
BROKEN_SOCKET = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP)
# Strangers that are remembered, and those of whom the status tells.
KEPT_REFUSED = 100
TOLD_REFUSED = 3
# The end of a line that the check says.
LONGEST_LINE = 1000


class Hub(base.Part):
    """The hub. C(links) are the parts that are there, by name; C(ready) those whose program is."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.life = secrets.token_hex(8)
        self.links: dict[str, Link] = {}
        self.ready: set[str] = set()
        self.doubts: dict[str, str] = {}
        # Who was refused and why, since a part was last let in; and all of it that the journal has.
        self.refused: list[str] = []
        self.told: set[str] = set()
        self.begun = False
        self.serving = False
        self.checked = False
        self.door = admission.Door()

    def live(self) -> None:
        """Live one life. Raises Ended."""
        self.back_off()
        server = self.listen()
        self.threads.start("lets parts in", lambda worker: self.accept(server, worker), for_ever=True)
        self.gather()
        self.begun = True
        for step in self.options.order:
            getattr(self, f"start_{step}")()
        self.wait(lambda: False, None, str)

    def tell_end(self, ended: Ended) -> None:
        """Say to all parts that this life is over."""
        self.broadcast({"ended": ended.reason, "asked": ended.asked})

    # Who is there

    def listen(self) -> socket.socket:
        """Return the socket at which the other parts come in."""
        self.say("starting")
        try:
            return listen(self.options.listen, self.options.port)
        except OSError as error:
            raise Ended(f"{self.options.listen}:{self.options.port} cannot be listened on: {error.strerror}", count=False) from error

    def accept(self, server: socket.socket, worker: Worker) -> None:
        """Let parts in, each in a thread of its own. Runs in a thread of its own."""
        server.settimeout(ACCEPT_SECONDS)
        while True:
            worker.promise(20 * ACCEPT_SECONDS)
            try:
                connection, address = server.accept()
            except socket.timeout:
                continue
            except OSError as error:
                if error.errno in BROKEN_SOCKET:
                    raise
                self.events.put(Event("refused", name="a connection", text=f"it could not be taken: {error.strerror}"))
                time.sleep(ACCEPT_SECONDS)
                continue
            self.take_in(connection, address[0])

    def take_in(self, connection: socket.socket, address: str) -> None:
        """Begin to host a connection, unless there are too many already that prove nothing."""
        full = self.door.enter(address)
        if not full:
            try:
                self.threads.start(f"hosts {address}", lambda worker: self.host(connection, address, worker))
                return
            except RuntimeError as error:
                self.door.leave(address)
                full = str(error)
        self.events.put(Event("refused", name=address, text=full))
        connection.close()

    def host(self, connection: socket.socket, address: str, worker: Worker) -> None:
        """Pass on what one part says, for as long as it is there. Runs in a thread of its own."""
        options = self.options
        worker.promise(3 * GREETING_SECONDS)
        try:
            link = welcome(connection, self.token, options.span, options.digest, self.life, self.refuse, options.silence)
        except (OSError, ValueError, LinkFault) as error:
            self.events.put(Event("refused", name=address, text=str(error)))
            connection.close()
            return
        finally:
            self.door.leave(address)
        self.events.put(Event("linked", link))
        try:
            while True:
                worker.promise(3 * options.silence)
                self.events.put(Event("said", link, link.receive()))
        except (OSError, ValueError, LinkFault) as error:
            self.events.put(Event("lost", link, text=str(error)))
        finally:
            link.close()

    def refuse(self, name: str) -> str:
        """Return why a part is not wanted."""
        if name not in self.options.member:
            return "the service has no such node"
        if self.begun:
            # Its former life was cut off without a word, and it is there again before its silence was noticed.
            self.events.put(Event("again", text=name))
            return "the service is in the middle of a life, which ends now"
        return ""

    def missing(self) -> list[str]:
        return [name for name in self.options.member if name not in self.links]

    def gather(self) -> None:
        """Wait until all parts are there."""
        def all_there() -> bool:
            missing = self.missing()
            if missing:
                self.say(self.waiting(missing))
            return not missing

        self.wait(all_there, self.options.join_timeout, lambda: f"{self.waiting(self.missing())}; given up after {self.options.join_timeout:.0f} s")
        self.state.miss([])

    def waiting(self, missing: list[str]) -> str:
        since = self.state.miss(missing)
        if not self.state.has_served:
            text = "starting: waiting for " + ", ".join(spoken(name) for name in missing)
        else:
            text = "degraded: " + ", ".join(f"{spoken(name)} missing since {since[name]}" for name in missing)
        reasons = self.refused[-TOLD_REFUSED:]
        return text + (f" (refused {'; '.join(reasons)})" if reasons else "")

    # What is started, in the order that the backend needs

    def start_self(self) -> None:
        """Start the program beside the hub."""
        self.say(f"starting: {self.what}")
        self.start()
        if self.options.wait_self:
            self.wait(lambda: self.is_ready, self.options.start_timeout, lambda: f"{self.what} was not ready after {self.options.start_timeout:.0f} s")

    def start_nodes(self) -> None:
        """Start the other nodes' programs and wait for them."""
        self.tell_start([name for name in self.options.member if name != base.ENGINE])

    def start_serve(self) -> None:
        """Say that the service serves."""
        self.begin_to_serve()

    def start_engine(self) -> None:
        """Start the engine beside this hub and wait for its first completion."""
        self.tell_start([base.ENGINE])

    def start_serving(self) -> None:
        """Wait for the program beside the hub, which is the engine, and say that the service serves."""
        self.wait(lambda: self.is_ready, self.options.start_timeout, lambda: f"{self.what} was not ready after {self.options.start_timeout:.0f} s")
        self.begin_to_serve()

    def start_check(self) -> None:
        """Have the check (for Ray: are its nodes and GPUs there) say that all is well."""
        self.say("starting: looking for Ray's nodes")
        self.threads.start("looks for Ray's nodes", self.check)
        seconds = self.options.join_timeout
        self.wait(lambda: self.checked, seconds, lambda: f"Ray did not have its nodes and GPUs after {seconds:.0f} s: {self.state.said}")

    def check(self, worker: Worker) -> None:
        """Run the check, which says what it waits for and ends when all is well. Runs in a thread of its own."""
        # How long it may take is bounded by who waits for it.
        worker.rest()
        command = subprocess.Popen(self.options.check, env=self.process.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert command.stdout is not None
        last = ""
        for raw in iter(lambda: command.stdout.readline(LONGEST_LINE), b""):
            last = one_line(raw.decode(errors="replace").strip())
            print(last, flush=True)
            self.events.put(Event("waiting", text=last))
        self.events.put(Event("checked", status=command.wait(), text=last))

    def tell_start(self, names: list[str]) -> None:
        if not names:
            return
        self.say("starting: " + ", ".join(spoken(name) for name in names))
        for name in names:
            self.send(self.links[name], {"start": True})
        seconds = self.options.start_timeout
        self.wait(lambda: self.ready >= set(names), seconds,
                  lambda: f"{', '.join(spoken(name) for name in names if name not in self.ready)} not ready after {seconds:.0f} s")

    def begin_to_serve(self) -> None:
        """Say to systemd and to all parts that the service serves."""
        self.serving = True
        self.serve(self.standing())
        self.beat()

    def standing(self) -> str:
        """How a service that serves stands."""
        nodes = [name for name in self.options.member if name != base.ENGINE]
        doubts = [text for text in (self.doubt, self.transport.complaint(self.options.transport), *self.doubts.values()) if text]
        return f"serving on {', '.join([self.options.name, *nodes])}{': ' + '; '.join(dict.fromkeys(doubts)) if doubts else ''}"

    # What happens

    def beat(self) -> None:
        text = self.standing() if self.serving else self.state.said
        if self.serving:
            self.say(text)
        self.broadcast({"serves": self.serving, "text": text})

    def broadcast(self, message: dict[str, object]) -> None:
        """Say something to all parts."""
        for link in list(self.links.values()):
            self.send(link, message)

    def send(self, link: Link, message: dict[str, object]) -> None:
        """Say something to one part. When the link is gone, who reads from it tells."""
        try:
            link.send(message)
        except OSError:
            link.close()

    def handle(self, event: Event) -> None:
        super().handle(event)
        link = event.link
        if event.kind == "refused":
            # Once each, so that a stranger who knocks does not fill the journal, whatever he says in turn.
            said = f"{event.name}: {event.text}"
            if said not in self.told and len(self.told) < KEPT_REFUSED:
                self.told.add(said)
                print(f"refused {said}", flush=True)
            if said not in self.refused and len(self.refused) < KEPT_REFUSED:
                self.refused.append(said)
        elif event.kind == "waiting":
            self.say(f"starting: {event.text}")
        elif event.kind == "checked":
            if event.status:
                raise Ended(f"the check of Ray's nodes {_exit_status.describe(event.status)}: {event.text}")
            self.checked = True
        elif event.kind == "again":
            self.state.miss([event.text])
            raise Ended(f"{spoken(event.text)} was started again", count=False)
        elif link is None:
            return
        elif event.kind == "linked":
            self.refused.clear()
            before = self.links.get(link.name)
            if before is not None:
                before.close()
            self.links[link.name] = link
        elif event.kind == "lost" and self.links.get(link.name) is link:
            del self.links[link.name]
            if self.begun:
                self.state.miss([link.name])
                raise Ended(f"{spoken(link.name)} was lost: {event.text}", count=False)
        elif event.kind == "said" and self.links.get(link.name) is link:
            self.said(link.name, event.message)

    def said(self, name: str, message: Message) -> None:
        """Take what a part says."""
        ended = text_of(message, "ended")
        if ended:
            if self.begun:
                self.state.miss([name])
                raise Ended(f"{spoken(name)}: {ended}", count=message.get("asked") is not True, asked=message.get("asked") is True)
            return
        if message.get("ready") is True:
            self.ready.add(name)
        self.doubts[name] = "; ".join(filter(None, (text_of(message, key) for key in ("doubt", "transport"))))


def spoken(name: str) -> str:
    """A part as people call it."""
    return "the engine" if name == base.ENGINE else f"node {name}"
