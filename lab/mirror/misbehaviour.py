# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Simulated errors of the lab's mirror: the settings in /_lab/settings, and the responses that they apply to."""

from __future__ import annotations

import fnmatch
import threading
import time
import typing as t
from dataclasses import asdict, dataclass, field, fields

POSITIVE = ("rate", "cut_after", "stall_after", "truncate", "seconds", "times")


@dataclass(frozen=True)
class Settings:
    """The settings. With the defaults the mirror simulates no error. Times are in seconds, sizes in bytes."""

    # For every response with a file.
    rate: int | None = None  # bytes per second of each response
    token: str | None = None  # requests without this token get the error of a gated repository
    # The limits of simulated errors: files with these names ("api" is everything under /api), a time, a number of responses.
    paths: list[str] = field(default_factory=lambda: ["*"])
    seconds: int | None = None  # from the moment of the change
    times: int | None = None  # number of responses
    # The simulated errors.
    gone: bool = False  # close every connection without a response
    status: int | None = None  # respond with this status
    retry_after: int | None = None  # header of the response with that status
    redirect: str | None = None  # redirect requests for files to this address with the same path
    cut_after: int | None = None  # close the connection after this many bytes of the response
    stall_after: int | None = None  # stop sending after this many bytes, and leave the connection open
    flip: bool = False  # change one byte of each file
    truncate: int | None = None  # omit this many bytes at the end of each file, also in the headers
    etag: bool = False  # send a different ETag with every response

    @classmethod
    def read(cls, values: dict[str, t.Any]) -> Settings:
        """Settings from JSON. Raises ValueError with the reason if they are invalid."""
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
    """The current settings of the mirror, and the remaining number of responses that they apply to."""

    def __init__(self, settings: Settings) -> None:
        self.lock = threading.Lock()
        self.set(settings)

    def set(self, settings: Settings) -> None:
        """Replace the settings. ``seconds`` and ``times`` count from now."""
        self.settings = settings
        self.until = None if settings.seconds is None else time.monotonic() + settings.seconds
        self.left = settings.times

    def update(self, values: dict[str, t.Any]) -> None:
        """Change some of the settings. Raises ValueError with the reason if they are invalid."""
        self.set(Settings.read({**self.as_dict(), **values}))

    def as_dict(self) -> dict[str, t.Any]:
        """The settings as a dictionary for JSON."""
        return asdict(self.settings)

    def answer_to(self, path: str) -> Settings:
        """The settings for this response: the current ones, or only the rate and the token if they do not apply to it."""
        with self.lock:
            now = self.settings
            applies = any(fnmatch.fnmatch(path, pattern) for pattern in now.paths)
            if applies and (self.until is None or time.monotonic() < self.until) and self.left != 0:
                if self.left is not None:
                    self.left -= 1
                return now
            return Settings(rate=now.rate, token=now.token)
