# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub of a service over several hosts, on its head: it knows who is there, starts all parts in order, and ends them together.

One life of the hub is one life of the service. When a part is lost or its program ends, the life ends with all of its programs on all hosts, and
systemd begins the next with nothing left of the former: no ranks, no actors, no placement groups, no shared memory.
"""

from __future__ import annotations

import argparse
import secrets
import socket
import subprocess
import threading

import exit_status
import span_link
import span_part
from span_part import Ended, Event


class Hub(span_part.Part):
    """The hub. C(links) are the parts that are there, by name; C(ready) those whose program is."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.life = secrets.token_hex(8)
        self.links: dict[str, span_link.Link] = {}
        self.ready: set[str] = set()
        self.doubts: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.begun = False
        self.serving = False
        self.checked = False

    def run(self) -> int:
        """Live one life; return the exit status."""
        try:
            self.back_off()
            server = self.listen()
            threading.Thread(target=self.accept, args=(server,), daemon=True).start()
            self.gather()
            self.begun = True
            for step in self.options.order:
                getattr(self, f"start_{step}")()
            self.wait(lambda: False, None, str)
        except Ended as ended:
            self.broadcast({"ended": ended.reason, "asked": ended.asked})
            return self.finish(ended)
        raise AssertionError("nothing ends a life but Ended")

    # Who is there

    def listen(self) -> socket.socket:
        """Return the socket at which the other parts come in."""
        self.say("starting")
        try:
            return span_link.listen(self.options.listen, self.options.port)
        except OSError as error:
            raise Ended(f"{self.options.listen}:{self.options.port} cannot be listened on: {error.strerror}", count=False) from error

    def accept(self, server: socket.socket) -> None:
        """Let parts in, each in a thread of its own. Runs in a thread of its own."""
        while True:
            connection, address = server.accept()
            threading.Thread(target=self.host, args=(connection, address[0]), daemon=True).start()

    def host(self, connection: socket.socket, address: str) -> None:
        """Pass on what one part says, for as long as it is there."""
        options = self.options
        try:
            link = span_link.welcome(connection, self.token, options.span, options.digest, self.life, self.refuse, options.silence)
        except (OSError, ValueError, span_link.LinkFault) as error:
            self.events.put(Event("refused", text=f"{address}: {error}"))
            connection.close()
            return
        self.events.put(Event("linked", link))
        try:
            while True:
                self.events.put(Event("said", link, link.receive()))
        except (OSError, ValueError, span_link.LinkFault) as error:
            self.events.put(Event("lost", link, text=str(error)))

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
        reasons = [reason for reason in self.refused.values() if reason]
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
        self.tell_start([name for name in self.options.member if name != span_part.ENGINE])

    def start_serve(self) -> None:
        """Say that the service serves."""
        self.begin_to_serve()

    def start_engine(self) -> None:
        """Start the engine beside this hub and wait for its first completion."""
        self.tell_start([span_part.ENGINE])

    def start_serving(self) -> None:
        """Wait for the program beside the hub, which is the engine, and say that the service serves."""
        self.wait(lambda: self.is_ready, self.options.start_timeout, lambda: f"{self.what} was not ready after {self.options.start_timeout:.0f} s")
        self.begin_to_serve()

    def start_check(self) -> None:
        """Have the check (for Ray: are its nodes and GPUs there) say that all is well."""
        self.say("starting: looking for Ray's nodes")
        threading.Thread(target=self.check, daemon=True).start()
        seconds = self.options.join_timeout
        self.wait(lambda: self.checked, seconds, lambda: f"Ray did not have its nodes and GPUs after {seconds:.0f} s: {self.state.said}")

    def check(self) -> None:
        """Run the check, which says what it waits for and ends when all is well. Runs in a thread of its own."""
        command = subprocess.Popen(self.options.check, env=self.process.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert command.stdout is not None
        last = ""
        for line in command.stdout:
            print(line, end="", flush=True)
            last = line.strip()
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
        nodes = [name for name in self.options.member if name != span_part.ENGINE]
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

    def send(self, link: span_link.Link, message: dict[str, object]) -> None:
        """Say something to one part. When the link is gone, who reads from it tells."""
        try:
            link.send(message)
        except OSError:
            link.close()

    def handle(self, event: Event) -> None:
        super().handle(event)
        link = event.link
        if event.kind == "refused":
            # Once each, so that a stranger who knocks does not fill the journal.
            address = event.text.partition(":")[0]
            if self.refused.get(address) != event.text:
                print(f"refused {event.text}", flush=True)
            self.refused[address] = event.text
        elif event.kind == "waiting":
            self.say(f"starting: {event.text}")
        elif event.kind == "checked":
            if event.status:
                raise Ended(f"the check of Ray's nodes {exit_status.describe(event.status)}: {event.text}")
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

    def said(self, name: str, message: dict[str, object]) -> None:
        """Take what a part says."""
        if message.get("ended"):
            if self.begun:
                self.state.miss([name])
                raise Ended(f"{spoken(name)}: {message['ended']}", count=not message.get("asked"), asked=bool(message.get("asked")))
            return
        if message.get("ready"):
            self.ready.add(name)
        self.doubts[name] = "; ".join(str(message[key]) for key in ("doubt", "transport") if message.get(key))


def spoken(name: str) -> str:
    """A part as people call it."""
    return "the engine" if name == span_part.ENGINE else f"node {name}"
