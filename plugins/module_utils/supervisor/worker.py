# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of a service over several hosts that follows the hub: it starts its program when told, and never outlives the hub's life."""

from __future__ import annotations

import time

from . import base
from .base import Ended, Event
from .connection import Link, LinkFault, Message, connect, text_of
from .threads import Worker

# Seconds that it may take to reach the hub: looking up its name, connecting, and both sides' proof.
REACH_SECONDS = 180.0


class Member(base.Part):
    """A node of the service, or its engine beside Ray's head."""

    link: Link | None = None
    told_to_start = False
    told_ready = False

    def live(self) -> None:
        """Live one life. Raises Ended."""
        self.back_off()
        self.threads.start("talks to the hub", self.reach_hub)
        self.wait(lambda: self.told_to_start, None, str)
        self.start()
        self.wait(lambda: self.is_ready, self.options.start_timeout, lambda: f"{self.what} was not ready after {self.options.start_timeout:.0f} s")
        self.wait(lambda: False, None, str)

    def tell_end(self, ended: Ended) -> None:
        """Say to the hub that this life is over."""
        self.tell({"ended": ended.reason, "asked": ended.asked})

    def reach_hub(self, worker: Worker) -> None:
        """Connect to the hub for as long as it takes, then pass on what it says. Runs in a thread of its own."""
        options = self.options
        while True:
            worker.promise(REACH_SECONDS)
            try:
                link = connect(options.hub_address, options.port, self.token, options.span, options.name, options.digest, options.silence)
            except (OSError, ValueError, LinkFault) as error:
                self.events.put(Event("away", text=str(error)))
                time.sleep(1)
                continue
            self.events.put(Event("linked", link))
            try:
                while True:
                    worker.promise(3 * options.silence)
                    self.events.put(Event("said", link, link.receive()))
            except (OSError, ValueError, LinkFault) as error:
                self.events.put(Event("lost", link, text=str(error)))
            finally:
                link.close()
            if self.told_to_start:
                return

    def beat(self) -> None:
        """Tell the hub that this part lives, and whether its program is ready."""
        self.tell({"ready": self.is_ready, "doubt": self.doubt, "transport": self.transport.complaint(self.options.transport)})

    def tell(self, message: dict[str, object]) -> None:
        """Say something to the hub. When the link is gone, who reads from it tells."""
        if self.link is not None:
            try:
                self.link.send(message)
            except OSError:
                pass

    def handle(self, event: Event) -> None:
        super().handle(event)
        hub = f"{self.options.hub_name} ({self.options.hub_address}:{self.options.port})"
        if event.kind == "away" and self.link is None:
            missing = self.state.miss([self.options.hub_name])
            since = missing[self.options.hub_name]
            begin = f"degraded: node {self.options.hub_name} missing since {since}" if self.state.has_served else f"starting: waiting for node {hub}"
            self.say(f"{begin}: {event.text}")
        elif event.kind == "linked":
            self.link = event.link
            self.state.miss([])
        elif event.kind == "lost" and event.link is self.link:
            self.link = None
            if self.told_to_start:
                self.state.miss([self.options.hub_name])
                raise Ended(f"node {hub} was lost: {event.text}", count=False)
        elif event.kind == "said" and event.link is self.link:
            self.said(event.message)
        elif event.kind == "ready" and not self.told_ready:
            self.told_ready = True
            self.beat()

    def said(self, message: Message) -> None:
        """Do what the hub says."""
        ended, text = text_of(message, "ended"), text_of(message, "text")
        if ended:
            # The hub keeps the log of what happened; here it is only the end of this life.
            if self.told_to_start:
                # What the hub says of another part names that part already; of itself it says "it".
                told = ended if ended.startswith("node ") else f"node {self.options.hub_name}: {ended}"
                raise Ended(told, count=False, asked=message.get("asked") is True)
            return
        if message.get("start") is True:
            self.told_to_start = True
        if message.get("serves") is True:
            self.serve(text)
        elif text:
            self.say(text)
