# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a host's files without hanging: on dangling links, pipes, folders, endless files, and mounts whose server is gone."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import stat
import time
import typing as t

# Limit in bytes; the manifest of a million files has half of it.
LONGEST = 256 * 1024 * 1024
_PIECE = 1024 * 1024

Jobs = t.Mapping[str, t.Callable[[], t.Any]]


def _open(path: str) -> t.Optional[int]:
    """Open a regular file; None for others. Raises OSError. Reading a pipe would wait for a writer, and a device may be endless."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(number).st_mode):
        return number
    os.close(number)
    return None


def read_text(path: str) -> str:
    """Return a file's text, or an empty string when it cannot be read."""
    try:
        number = _open(path)
        if number is None:
            return ""
        with open(number, encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST)
    except (OSError, ValueError):
        return ""


def read_json(path: str) -> dict[str, t.Any]:
    """Return the JSON object in a file; empty when there is no valid one."""
    try:
        found = json.loads(read_text(path) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def digest(path: str) -> str:
    """Return the sha256 of a file, or an empty string when it cannot be read."""
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
    """Run jobs in a separate process, one after the other; return their results, in JSON types, and the errors of those that failed, by name.

    A process that waits for a file system whose server is gone cannot be killed, only abandoned.

    :param seconds: timeout of each job
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
            # The current job has failed. The remaining ones run in a new process.
            name = next(iter(left))
            del left[name]
            failed[name] = "its process has ended" if ended else f"it did not answer within {seconds:g} s"
    return found, failed


def _work(jobs: Jobs, writer: int) -> t.NoReturn:
    """Run the jobs in the child process: write one line of JSON per job."""
    try:
        for name, job in jobs.items():
            try:
                line = [name, True, job()]
            except Exception as error:  # pylint: disable=broad-exception-caught  # An error of one job must not affect the others.
                line = [name, False, f"{type(error).__name__}: {error}"]
            data = json.dumps(line).encode() + b"\n"
            while data:
                data = data[os.write(writer, data):]
    finally:
        os._exit(0)


def _answers(reader: int, seconds: float) -> t.Iterator[tuple[str, bool, t.Any]]:
    """Yield the results until the end, or until a job exceeds the timeout."""
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
    """Kill a process, without waiting for one that cannot be killed; return whether it had exited by itself."""
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
    """Return a value whose texts can be encoded in UTF-8, which not all file names can."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    return value
