# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading of a host's files that ends, whatever lies there: dangling links, pipes, folders, files without an end, mounts whose server is gone."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import stat
import time
import typing as t

# No file that is read here is larger; the manifest of a million files is half of it.
LONGEST = 256 * 1024 * 1024
_PIECE = 1024 * 1024

Jobs = t.Mapping[str, t.Callable[[], t.Any]]


def _open(path: str) -> t.Optional[int]:
    """A regular file's descriptor. Raises OSError. A pipe would have its reader wait for somebody who writes, and a device may have no end."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(number).st_mode):
        return number
    os.close(number)
    return None


def read_text(path: str) -> str:
    """Return a file's text, or an empty string where it can't be read."""
    try:
        number = _open(path)
        if number is None:
            return ""
        with open(number, encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST)
    except (OSError, ValueError):
        return ""


def read_json(path: str) -> dict[str, t.Any]:
    """Return the JSON object in a file; empty where there is none that can be used."""
    try:
        found = json.loads(read_text(path) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def digest(path: str) -> str:
    """Return the sha256 of a file, or an empty string where it can't be read."""
    found = hashlib.sha256()
    left = LONGEST
    try:
        number = _open(path)
        if number is None:
            return ""
        with open(number, "rb") as file:
            while left > 0:
                piece = file.read(_PIECE)
                if not piece:
                    return found.hexdigest()
                found.update(piece)
                left -= len(piece)
    except OSError:
        return ""
    return ""


def ask(jobs: Jobs, seconds: float) -> tuple[dict[str, t.Any], dict[str, str]]:
    """Do jobs in a process of its own, one after the other; return what they found, as JSON has it, and why others found nothing, each by its name.

    A process that waits for a file system whose server is gone can't be ended, only be left behind.

    :param seconds: how long each may take
    """
    found: dict[str, t.Any] = {}
    failed: dict[str, str] = {}
    left = dict(jobs)
    while left:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _work(left, writer)
        os.close(writer)
        for name, good, value in _answers(reader, seconds):
            del left[name]
            (found if good else failed)[name] = value
        os.close(reader)
        ended = _end(child)
        if left:
            # The one that it was at. The others start again.
            name = next(iter(left))
            del left[name]
            failed[name] = "its process ended" if ended else f"it did not answer within {seconds:g} s"
    return found, failed


def _work(jobs: Jobs, writer: int) -> t.NoReturn:
    """The process's own part: one line of JSON a job."""
    try:
        for name, job in jobs.items():
            try:
                line = [name, True, job()]
            except Exception as error:  # pylint: disable=broad-exception-caught  # One job's trouble is not that of the others.
                line = [name, False, f"{type(error).__name__}: {error}"]
            data = json.dumps(line).encode() + b"\n"
            while data:
                data = data[os.write(writer, data):]
    finally:
        os._exit(0)


def _answers(reader: int, seconds: float) -> t.Iterator[tuple[str, bool, t.Any]]:
    """What comes until the end, or until one job takes too long."""
    rest = b""
    deadline = time.monotonic() + seconds
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(reader, _PIECE)
        if not piece:
            return
        *lines, last = (rest + piece).split(b"\n")
        rest = last
        for line in lines:
            name, good, value = json.loads(line)
            yield name, good, value
            deadline = time.monotonic() + seconds


def _end(child: int) -> bool:
    """End a process, without waiting for one that cannot be; return whether it had ended by itself."""
    for _look in range(20):
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    for _look in range(20):
        if os.waitpid(child, os.WNOHANG)[0]:
            break
        time.sleep(0.005)
    return False


def clean(value: t.Any) -> t.Any:
    """Return a value whose texts can be written as UTF-8: names of files need not be."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    return value
