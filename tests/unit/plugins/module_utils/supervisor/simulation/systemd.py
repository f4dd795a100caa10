# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""systemd on a simulated host, as the units of roles/model_service/templates/service.j2 use it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from .processes import Process
from .programs import Program

# The values of the unit file; test_simulation.py compares them with the template.
RESTART_SECONDS, NO_RESTART_STATUS, START_TIMEOUT, WATCHDOG_SECONDS = 2.0, 2, 300.0, 180.0
STOP_TIMEOUT = 20.0
# Seconds for ExecStartPre= and for Python to start.
LAUNCH_SECONDS = 0.3
LOOK_SECONDS = 1.0

INACTIVE, ACTIVATING, ACTIVE, STOPPING, RESTARTING, FAILED = "inactive", "activating", "active", "deactivating", "auto-restart", "failed"


class Unit:
    """A unit of the service, with Restart=always. C(run) runs the supervisor, in the main thread of a new process."""

    def __init__(self, world: Any, host: Any, name: str, node: str, is_head: bool, run: Callable[[], Any]) -> None:
        self.world = world
        self.host = host
        self.name = name
        # The name under which the leader knows it.
        self.node = node
        self.is_head = is_head
        self.digest = "first"
        self.started_digest = ""
        self.state = INACTIVE
        self.status = ""
        self.status_since = 0.0
        self.process: Any = None
        self.supervisor: Any = None
        # All programs of its control group that have not ended, and the supervised one.
        self.programs: list[Program] = []
        self.program: Program | None = None
        # Whether the check that it runs has failed.
        self.check_failed = False
        self.is_wanted = False
        # Whether somebody asked this process to stop.
        self.stop_requested = False
        self._run = run
        self._start_deadline = 0.0
        self._watchdog_deadline = 0.0
        self._kill_at = 0.0

    # What an operator does

    def start(self) -> None:
        """Start it, as C(systemctl start) does."""
        self.is_wanted = True
        if self.host.is_up and self.state in (INACTIVE, FAILED):
            self._launch_soon(LAUNCH_SECONDS)

    def stop(self) -> None:
        """Stop it, as C(systemctl stop) does."""
        self.is_wanted = False
        self._terminate()
        if self.state == RESTARTING:
            self.state = INACTIVE

    def restart(self) -> None:
        """Stop it and start it again."""
        self._terminate()
        self.is_wanted = True
        if self.state in (INACTIVE, FAILED):
            self.start()

    def _terminate(self) -> None:
        if self.state in (ACTIVATING, ACTIVE) and self.process is not None:
            self.state = STOPPING
            self.stop_requested = True
            self._kill_at = self.world.scheduler.now + STOP_TIMEOUT
            self.world.emit("stop_requested", unit=self)
            self.process.signal(signal.SIGTERM)
        elif self.state == ACTIVATING:
            self.state = INACTIVE

    # Its life

    def _launch_soon(self, seconds: float) -> None:
        self.state = ACTIVATING
        self.process = None
        self.world.scheduler.after(seconds, self._launch, self.host.boots)

    def _launch(self, boots: int) -> None:
        if self.state != ACTIVATING or self.host.boots != boots or self.process is not None:
            return
        world = self.world
        self.started_digest = self.digest
        self.stop_requested = self.check_failed = False
        self.program = None
        self.supervisor = None
        self._start_deadline = world.scheduler.now + START_TIMEOUT
        self._watchdog_deadline = 0.0
        self.process = Process(world, self.host, world.environ(self), world.arguments(self), self._ended)
        self.process.unit = self
        self.host.add_process(self.process.pid, 1, "python")
        world.emit("launched", unit=self)
        self.process.start(self._run)

    def notified(self, text: str) -> None:
        """Handle a message of sd_notify(3)."""
        now = self.world.scheduler.now
        self.world.emit("notified", unit=self, text=text)
        if text == "WATCHDOG=1":
            self._watchdog_deadline = now + WATCHDOG_SECONDS
        elif text == "READY=1" and self.state == ACTIVATING:
            self.state = ACTIVE
            self._watchdog_deadline = now + WATCHDOG_SECONDS
        elif text.startswith("STATUS="):
            self.status = text[7:]
            self.status_since = now
            self.world.emit("status", unit=self)
        elif text.startswith("EXTEND_TIMEOUT_USEC="):
            self._start_deadline = max(self._start_deadline, now + int(text[20:]) / 1e6)

    def look(self) -> None:
        """Enforce the timeouts."""
        now = self.world.scheduler.now
        if self.process is None or not self.process.alive:
            return
        if self.state == ACTIVATING and now > self._start_deadline:
            self.world.emit("timed_out", unit=self, what="start")
            self._terminate()
        elif self.state == ACTIVE and now > self._watchdog_deadline:
            self.world.emit("timed_out", unit=self, what="watchdog")
            self.process.end(-signal.SIGABRT)
        elif self.state == STOPPING and now > self._kill_at:
            self.world.emit("timed_out", unit=self, what="stop")
            self.process.kill()

    def _ended(self, status: int) -> None:
        """The main process has ended: kill the rest of the control group, then start the next generation."""
        self.host.processes.pop(self.process.pid, None)
        self.world.emit("supervisor_ended", unit=self, status=status)
        for program in list(self.programs):
            program.end(-signal.SIGKILL)
        self.programs.clear()
        if self.state == STOPPING and not self.is_wanted:
            self.state = INACTIVE
        elif status == NO_RESTART_STATUS:
            self.state = FAILED
        else:
            self.state = RESTARTING
            self.world.scheduler.after(RESTART_SECONDS, self._restart, self.host.boots)

    def _restart(self, boots: int) -> None:
        if self.state == RESTARTING and self.host.boots == boots:
            self._launch_soon(LAUNCH_SECONDS)

    def crash(self) -> None:
        """Its host loses power."""
        if self.process is not None:
            self.process.vanish()
        for program in list(self.programs):
            program.end(-signal.SIGKILL)
        self.programs.clear()
        self.process = None
        self.state = INACTIVE
        self.status = ""
