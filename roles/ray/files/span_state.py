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
import typing as t

# Records of failures that are kept for a unit, and bytes of each file that goes into one.
KEPT_FAILURES = 10
KEPT_BYTES = 256 * 1024


def now() -> str:
    """Return the time in UTC, as people read it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def notify(text: str) -> None:
    """Tell systemd something (sd_notify(3)); nothing where no systemd asked for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(text.encode())


class State:
    """The state of one part. C(runtime) and C(failures) are directories, empty for none."""

    def __init__(self, runtime: str, failures: str) -> None:
        self._path = os.path.join(runtime, "span.json") if runtime else ""
        self._failures = failures
        self.said = ""
        self._serves = False
        self._kept: dict[str, t.Any] = {"served": False, "missing": {}, "failed": 0, "failure": "", **self._load()}

    def _load(self) -> dict[str, t.Any]:
        try:
            with open(self._path, encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _keep(self, **values: t.Any) -> None:
        self._kept.update(values)
        if not self._path:
            return
        new = self._path + ".new"
        with open(new, "w", encoding="utf-8") as file:
            json.dump(self._kept, file)
        os.replace(new, self._path)

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
            self._serves = True
            self._keep(served=True, missing={}, failed=0, failure="")
            notify("READY=1")
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
        if not first and self._failures:
            first = os.path.join(self._failures, datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ"))
            keep_log(first, reason, output, folders)
            for old in sorted(os.listdir(self._failures))[:-KEPT_FAILURES]:
                shutil.rmtree(os.path.join(self._failures, old), ignore_errors=True)
        self._keep(failed=self.failed + count, failure=first)
        return str(first)


def keep_log(folder: str, reason: str, output: t.Sequence[str], folders: t.Sequence[str]) -> None:
    """Write the record of a failure: its reason, what the program said, and the ends of its log files."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "output.log"), "w", encoding="utf-8") as file:
        file.write(f"{now()}: {reason}\n\n" + "".join(line + "\n" for line in output))
    for source in folders:
        # Links (Ray's session_latest) lead to what stands beside them.
        for path, _folders, names in os.walk(source):
            for name in names:
                keep_end(os.path.join(path, name), os.path.join(folder, name))


def keep_end(source: str, target: str) -> None:
    """Copy the end of a log file; what is empty, no log or gone is left out."""
    if not source.endswith((".log", ".err", ".out")) or os.path.exists(target):
        return
    try:
        with open(source, "rb") as file:
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
