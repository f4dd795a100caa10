# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a simulated host: /run, which a reboot empties, and /var. Each may be full or read-only for a time."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from typing import Any

from .network import os_error


class Disk:
    """Files by path. C(full_until) and C(read_only_until) are times by the first directory, such as V(run)."""

    def __init__(self, now: Callable[[], float], emit: Callable[..., None]) -> None:
        self.files: dict[str, bytes] = {}
        self.folders: set[str] = set()
        self.full_until: dict[str, float] = {}
        self.read_only_until: dict[str, float] = {}
        self._now = now
        self._emit = emit

    def _check(self, path: str, needs_space: bool = True) -> None:
        root = path.split("/")[1]
        if self.read_only_until.get(root, 0.0) > self._now():
            raise os_error(errno.EROFS)
        if needs_space and self.full_until.get(root, 0.0) > self._now():
            raise os_error(errno.ENOSPC)

    def lose(self, root: str) -> None:
        """Remove everything in a directory such as /run."""
        self.files = {path: data for path, data in self.files.items() if not path.startswith(f"/{root}/")}

    def read_text(self, path: str) -> str:
        return self.files.get(path, b"").decode(errors="replace")

    def replace(self, path: str, data: bytes) -> None:
        """Replace a file atomically, which needs space for a second one. Raises OSError."""
        self._check(path)
        self._put(path, data)

    def _put(self, path: str, data: bytes) -> None:
        self._emit("written", path=path, before=self.files.get(path), after=data)
        self.files[path] = data

    def open(self, path: str, mode: str, **_options: Any) -> File:
        """Open a file to write, or to overwrite in place. Raises OSError."""
        in_place = mode == "r+b"
        assert in_place or mode == "w"
        self._check(path, needs_space=not in_place)
        if in_place and path not in self.files:
            raise os_error(errno.ENOENT)
        return File(lambda data: self._put(path, data))

    def makedirs(self, path: str, **_options: Any) -> None:
        self._check(path)
        self.folders.add(path)

    def listdir(self, path: str) -> list[str]:
        prefix = path + "/"
        return sorted({found[len(prefix):].split("/")[0] for found in (*self.files, *self.folders) if found.startswith(prefix)})

    def isdir(self, path: str) -> bool:
        return any(found.startswith(path + "/") or found == path for found in (*self.files, *self.folders))

    def rmtree(self, path: str, **_options: Any) -> None:
        self.files = {found: data for found, data in self.files.items() if not found.startswith(path + "/")}
        self.folders = {found for found in self.folders if found != path and not found.startswith(path + "/")}


class File:
    """A file that is written as a whole when it is closed."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put
        self._data = io.BytesIO()

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_error: object) -> None:
        self._put(self._data.getvalue())

    def write(self, data: str | bytes) -> None:
        self._data.write(data.encode(errors="replace") if isinstance(data, str) else data)

    def truncate(self) -> None:
        """What it had before is gone."""
