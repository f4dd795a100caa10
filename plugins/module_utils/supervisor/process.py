# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervised program: started, its output read, and stopped with all processes that it has started."""

from __future__ import annotations

import collections
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import typing as t

from .threads import Threads

# Lines of output that are kept for the log of a failure, and the longest line in bytes.
KEPT_LINES = 3000
LONGEST_LINE = 16384
# Seconds that the thread that reads has to take the last lines from the pipe: a moment in which none is left, and the most on a host that is busy.
QUIET_SECONDS = 0.2
READ_SECONDS = 5.0


class Process:
    """A program and its output. The output goes to this process's own output; the last lines are kept."""

    def __init__(self, command: t.Sequence[str], environment: t.Mapping[str, str]) -> None:
        self.command = list(command)
        self.environment = dict(environment)
        self._lines: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        self._process: subprocess.Popen[bytes] | None = None
        self.ended = threading.Event()
        # Whether all of its output has been read. A child process that survives may hold the pipe open for ever.
        self._all_read = threading.Event()
        self._read_lines = 0
        self.status = 0

    @property
    def was_started(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        """Its PID; 0 when it does not run."""
        return self._process.pid if self._process is not None and self.runs else 0

    @property
    def runs(self) -> bool:
        return self._process is not None and not self.ended.is_set()

    def start(self, threads: Threads, on_line: t.Callable[[str], None], on_end: t.Callable[[int], None]) -> None:
        """Start the program. Other threads call C(on_line) with each line of output and C(on_end) with the exit status. Raises OSError."""
        self._process = subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
        process = self._process
        # Neither thread sends heartbeats: a program may print nothing for a long time.
        threads.start("waits for the program's end", lambda _heartbeat: self._wait(process, on_end))
        threads.start("reads the program's output", lambda _heartbeat: self._read(process, on_line))

    def _read(self, process: subprocess.Popen[bytes], on_line: t.Callable[[str], None]) -> None:
        ended = True
        output = t.cast(t.BinaryIO, process.stdout)
        for raw in iter(lambda: output.readline(LONGEST_LINE), b""):
            sys.stdout.buffer.write(raw)
            sys.stdout.buffer.flush()
            line = raw.decode(errors="replace").rstrip("\n")
            self._lines.append(line)
            self._read_lines += 1
            on_line(line)
            ended = raw.endswith(b"\n")
        if not ended:
            # The supervisor's next message starts on a line of its own.
            sys.stdout.buffer.write(b"\n")
            sys.stdout.buffer.flush()
        self._all_read.set()

    def _wait(self, process: subprocess.Popen[bytes], on_end: t.Callable[[int], None]) -> None:
        # Does not wait for the end of the output: a child process that survives may hold the pipe open for ever.
        self.status = process.wait()
        self.ended.set()
        on_end(self.status)

    def stop(self, seconds: float) -> None:
        """Send SIGTERM, wait, then kill its process group. systemd kills processes in other groups with the unit's control group."""
        process = self._process
        if process is None:
            return
        if not self.ended.is_set():
            try:
                process.send_signal(signal.SIGTERM)
            except ProcessLookupError:
                pass  # It has ended meanwhile.
            self.ended.wait(seconds)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.ended.wait(10)

    def output(self) -> list[str]:
        """Return the last lines of its output, also those that are still in the pipe."""
        deadline, before = time.monotonic() + READ_SECONDS, -1
        while time.monotonic() < deadline and not self._all_read.wait(QUIET_SECONDS):
            if self._read_lines == before and not self._unread():
                break
            before = self._read_lines
        return list(self._lines)

    def _unread(self) -> int:
        """Return how many bytes of output nobody has read yet."""
        if self._process is None or self._process.stdout is None:
            return 0
        return int(struct.unpack("i", fcntl.ioctl(self._process.stdout.fileno(), termios.FIONREAD, bytes(4)))[0])
