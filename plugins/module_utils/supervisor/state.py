# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a part of a service over several hosts says of itself, and what it keeps from one life to the next.

To systemd: its status line (C(systemctl status)) and when it serves. In the unit's runtime directory: since when which node has been missing, and how
many lives have failed in a row. In the host's state directory: the log of the first of them, which those after it leave alone.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import socket
import stat
import typing as t

from .connection import one_line

# Records of failures that are kept for a unit, bytes of each file that goes into one, and files.
KEPT_FAILURES = 10
KEPT_BYTES = 256 * 1024
KEPT_FILES = 200
# What is kept from life to life is a few hundred letters.
LONGEST_STATE = 1024 * 1024
LOGS = (".log", ".err", ".out")


def now() -> str:
    """Return the time in UTC, as people read it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def notify(text: str) -> bool:
    """Tell systemd something (sd_notify(3)), nothing where no systemd asked for it. Return whether that went well."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return True
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.sendall(text.encode(errors="replace"))
    except OSError as error:
        print(f"systemd could not be told: {error}", flush=True)
        return False
    return True


class State:
    """The state of one part. C(runtime) and C(failures) are directories, empty for none."""

    def __init__(self, runtime: str, failures: str) -> None:
        self._path = os.path.join(runtime, "span.json") if runtime else ""
        self._failures = failures
        self.said = ""
        self._serves = False
        self._kept: dict[str, t.Any] = {"served": False, "missing": {}, "failed": 0, "failure": "", **self._load()}
        self._is_kept = True

    def _load(self) -> dict[str, t.Any]:
        try:
            with open(self._path, encoding="utf-8") as file:
                found = json.loads(file.read(LONGEST_STATE))
        except (OSError, ValueError, RecursionError):
            return {}
        kinds = {"served": bool, "missing": dict, "failed": int, "failure": str}
        return {name: value for name, value in found.items() if isinstance(value, kinds.get(name, object))} if isinstance(found, dict) else {}

    def _keep(self, **values: t.Any) -> None:
        """Keep values for the next life. On a full disk this life goes on without."""
        self._kept.update(values)
        if not self._path:
            return
        try:
            keep(self._path, json.dumps(self._kept))
        except OSError as error:
            if self._is_kept:
                print(f"{self._path} cannot be written: {error.strerror}", flush=True)
            self._is_kept = False
        else:
            self._is_kept = True

    def can_keep(self) -> bool:
        """Whether values are kept for the next life. None are to be where there is no directory."""
        self._keep()
        return self._is_kept

    @property
    def has_served(self) -> bool:
        """Whether the service has served since the host was booted."""
        return bool(self._kept["served"])

    @property
    def failed(self) -> int:
        """How many lives have ended in failure since it last served."""
        return int(self._kept["failed"])

    def say(self, text: str) -> None:
        """Say how it stands: to systemd, and to the journal when it is something new."""
        text = one_line(text)
        if text != self.said:
            self.said = text
            print(text, flush=True)
            self._keep(text=text)
            notify(f"STATUS={text}")

    def beat(self) -> None:
        """Tell systemd's watchdog that this process is well."""
        notify("WATCHDOG=1")

    def serves(self, text: str) -> None:
        """Say that it serves: what failed before is over."""
        if not self._serves:
            self._keep(served=True, missing={}, failed=0, failure="")
            self._serves = notify("READY=1")
        self.say(text)

    def miss(self, names: t.Iterable[str]) -> dict[str, str]:
        """Return since when each of these parts has been missing. Who is not among them is there again."""
        before = self._kept["missing"]
        missing = {name: before.get(name) or now() for name in names}
        if missing != before:
            self._keep(missing=missing)
        return missing

    def fail(self, reason: str, output: t.Sequence[str], folders: t.Sequence[str], count: bool) -> str:
        """Keep the log of a life that has failed when it is the first since the service served; return where that log is.

        :param folders: whose files' ends are kept as well
        :param count: whether it counts among those that make the next try wait
        """
        first = self._kept["failure"]
        # Counted before anything else is tried: without the count the next life would not wait.
        self._keep(failed=self.failed + count)
        if not first and self._failures:
            first = os.path.join(self._failures, datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ"))
            try:
                # Room first: the disk may be full of them.
                self._thin()
                keep_log(first, reason, output, folders)
            except OSError as error:
                print(f"the log of this failure cannot be kept: {error}", flush=True)
                shutil.rmtree(first, ignore_errors=True)
                return ""
            self._keep(failure=first)
        return str(first)

    def _thin(self) -> None:
        """Leave one record fewer than are kept."""
        for old in sorted(os.listdir(self._failures) if os.path.isdir(self._failures) else [])[:1 - KEPT_FAILURES]:
            shutil.rmtree(os.path.join(self._failures, old), ignore_errors=True)


def keep(path: str, text: str) -> None:
    """Write a file whole or not at all; where the disk has no room for a new one, into the old one's own. Raises OSError."""
    data = text.encode()
    new = path + ".new"
    try:
        with open(new, "wb") as file:
            file.write(data)
        os.replace(new, path)
        return
    except OSError:
        # One that was cut off would take the last room.
        if os.path.lexists(new):
            os.unlink(new)
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()


def keep_log(folder: str, reason: str, output: t.Sequence[str], folders: t.Sequence[str]) -> None:
    """Write the record of a failure: its reason, what the program said, and the ends of its log files, the newest. Raises OSError."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "output.log"), "w", encoding="utf-8", errors="replace") as file:
        file.write(f"{now()}: {reason}\n\n" + "".join(line + "\n" for line in output))
    # Links (Ray's session_latest) lead to what stands beside them.
    found = [os.path.join(path, name) for source in folders for path, _folders, names in os.walk(source) for name in names if name.endswith(LOGS)]
    try:
        for path in sorted(found, key=_age)[:KEPT_FILES]:
            keep_end(path, os.path.join(folder, os.path.basename(path)))
    except OSError as error:
        # What was said is there, which is the most of it.
        print(f"the log of this failure is kept in part: {error}", flush=True)


def _age(path: str) -> float:
    """What is newer is less; what is gone is oldest."""
    try:
        return -os.lstat(path).st_mtime
    except OSError:
        return 0.0


def keep_end(source: str, target: str) -> None:
    """Copy the end of a file; what is empty, no file of its own (a link, a pipe) or gone is left out. Raises OSError where it can't be written."""
    if os.path.exists(target):
        return
    try:
        # A pipe would have its reader wait for somebody who writes.
        with open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - KEPT_BYTES))
            data = file.read()
    except OSError:
        return
    if data:
        with open(target, "wb") as file:
            file.write(data)


def empty(folder: str) -> None:
    """Take away what a former life has left in a folder of its own. What cannot be removed is told and left."""
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        path = os.path.join(folder, name)
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except OSError as error:
            print(f"left behind by a former life: {error}", flush=True)
