# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor of a service on one host: starts the engine, reports that it serves after its first answer, and ends it when it stops answering."""

from __future__ import annotations

import argparse

from . import base
from .base import Ended, Event


class Single(base.Supervisor):
    """Supervises the engine of a service that has no other node."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.serving = False

    def run_generation(self) -> None:
        self.await_gpus()
        self.back_off()
        self.recheck_gpus()
        self.report(f"starting: {self.what}")
        self.start()
        seconds = self.options.start_timeout
        self.wait(lambda: self.is_ready, seconds, lambda: f"{self.what} was not ready after {seconds:.0f} s; its last status was: {self.state.status}")
        self.serving = True
        self.send_heartbeat()
        self.wait(lambda: False, None, str)

    def announce_end(self, ended: Ended) -> None:
        """There is nobody to tell."""

    def send_heartbeat(self) -> None:
        """Report the status again, which systemd's socket may have refused before."""
        if self.serving:
            self.report_serving(f"serving: {self.warning}" if self.warning else "serving")
        else:
            self.state.repeat()

    def handle(self, event: Event) -> None:
        super().handle(event)
        if event.kind == "progress" and not self.serving:
            self.state.report(f"starting: {event.text}", f"starting: {event.detail}")
