# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the lab's mirror is told to behave badly: what /_lab/settings takes, and which of its answers it applies to."""

from __future__ import annotations

import fnmatch
import threading
import time
import typing as t
from dataclasses import asdict, dataclass, field, fields

POSITIVE = ("rate", "cut_after", "stall_after", "truncate", "seconds", "times")


@dataclass(frozen=True)
class Settings:
    """All that can be set; as made, the mirror behaves well. Times are in seconds, sizes in bytes."""

    # For every answer with a file.
    rate: int | None = None  # bytes a second of each answer
    token: str | None = None  # without it every repository is gated
    # Bad behaviour, for files of these names ("api" stands for everything under /api), for so long or so often.
    paths: list[str] = field(default_factory=lambda: ["*"])
    seconds: int | None = None  # from the moment it is set
    times: int | None = None  # so many answers
    # The ways to behave badly.
    gone: bool = False  # every connection is closed without an answer
    status: int | None = None  # this status instead of an answer
    retry_after: int | None = None  # with it
    redirect: str | None = None  # files are to be fetched from this address with the same path
    cut_after: int | None = None  # the connection is cut after so much of the answer
    stall_after: int | None = None  # nothing more comes after so much of it, and the connection stays open
    flip: bool = False  # one byte of each file is not what it should be
    truncate: int | None = None  # each file ends so many bytes too early, by its headers as well
    etag: bool = False  # every answer carries another ETag

    @classmethod
    def read(cls, values: dict[str, t.Any]) -> Settings:
        """Settings from JSON; ValueError names what is wrong."""
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        settings = cls(**values)
        for name in POSITIVE:
            value = getattr(settings, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < (0 if name.endswith("_after") else 1)):
                raise ValueError(f"{name} must be a positive whole number or null, not {value!r}")
        if not isinstance(settings.paths, list) or not all(isinstance(pattern, str) for pattern in settings.paths):
            raise ValueError(f"paths must be a list of patterns, not {settings.paths!r}")
        return settings


class Mood:
    """The settings while the mirror runs, and how often they still apply."""

    def __init__(self, settings: Settings) -> None:
        self.lock = threading.Lock()
        self.set(settings)

    def set(self, settings: Settings) -> None:
        """Take over settings; ``seconds`` and ``times`` count from now."""
        self.settings = settings
        self.until = None if settings.seconds is None else time.monotonic() + settings.seconds
        self.left = settings.times

    def update(self, values: dict[str, t.Any]) -> None:
        """Lay values over the settings; ValueError names what is wrong."""
        self.set(Settings.read({**self.as_dict(), **values}))

    def as_dict(self) -> dict[str, t.Any]:
        """The settings as JSON shows them."""
        return asdict(self.settings)

    def answer_to(self, path: str) -> Settings:
        """The settings that this answer is to follow: those that are set, or good behaviour at the set rate."""
        with self.lock:
            now = self.settings
            applies = any(fnmatch.fnmatch(path, pattern) for pattern in now.paths)
            if applies and (self.until is None or time.monotonic() < self.until) and self.left != 0:
                if self.left is not None:
                    self.left -= 1
                return now
            return Settings(rate=now.rate, token=now.token)
