# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress of a download, for the play that follows it (a status file) and for the journal."""

from __future__ import annotations

import collections
import time
import typing as t

from .._writing import StatusFile

# Seconds over which the reported rate is measured, and between two lines in the journal.
WINDOW = 10.0
JOURNAL_SECONDS = 30.0


def size_text(size: float) -> str:
    """Return a number of bytes for messages."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def duration(seconds: float) -> str:
    """Return seconds for messages."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Rate:
    """Bytes per second over the last O(window) seconds, from samples of the number of bytes."""

    def __init__(self, window: float) -> None:
        self.window = window
        self.samples: collections.deque[tuple[float, int]] = collections.deque()

    def add(self, now: float, size: int) -> float:
        """Take a sample and return the rate; 0 after the first one."""
        if self.samples and size < self.samples[-1][1]:
            # The number has decreased: a wrong file was removed. Earlier samples are then meaningless.
            self.samples.clear()
        self.samples.append((now, size))
        while len(self.samples) > 2 and now - self.samples[1][0] >= self.window:
            self.samples.popleft()
        first, start = self.samples[0]
        return (size - start) / (now - first) if now > first else 0.0

    @property
    def span(self) -> float:
        """Seconds that the samples cover."""
        return self.samples[-1][0] - self.samples[0][0] if self.samples else 0.0


class Status(StatusFile):
    """The status file from which a play reads the download's progress."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.rate = Rate(WINDOW)
        self.said = 0.0

    def write(self, **values: t.Any) -> None:
        """Replace the file."""
        self.put(values)

    def progress(self, size: int, total: int, doing: str) -> None:
        """Report progress: bytes on the disk, total bytes, and the current activity."""
        now = time.monotonic()
        rate = self.rate.add(now, size)
        left = (total - size) / rate if rate > 0 else None
        pace = f"{size_text(rate)}/s, {duration(left)} left" if left is not None and size < total else ""
        text = ", ".join(part for part in (f"{size_text(size)} of {size_text(total)}", pace, doing) if part)
        self.write(text=text, bytes=size, total_bytes=total, rate=round(rate), eta_seconds=None if left is None else round(left), doing=doing)
        if now - self.said >= JOURNAL_SECONDS:
            self.said = now
            print(text, flush=True)
