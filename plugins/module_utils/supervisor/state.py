# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status that a supervisor reports, and what it saves from one generation to the next.

It reports its status line to systemd (C(systemctl status)), and reports READY when the service serves. In the unit's runtime directory it saves which
nodes are missing since when, and how many generations have failed in a row. In the host's state directory it keeps the log of the first failure; later
failures do not overwrite that log.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import socket
import stat
import time
import typing as t

from .. import _reading, _writing
from .connection import one_line

# How many logs of failures a unit keeps, how many bytes of each log file go into one, and how many files.
KEPT_FAILURES = 10
KEPT_BYTES = 256 * 1024
KEPT_FILES = 200
LOGS = (".log", ".err", ".out")


def now() -> str:
    """Return the time in UTC, for messages."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def notify(text: str) -> bool:
    """Notify systemd (sd_notify(3)), where systemd started this process. Return whether that succeeded."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return True
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.sendall(text.encode(errors="replace"))
    except OSError as error:
        print(f"cannot notify systemd: {error}", flush=True)
        return False
    return True


class State:
    """The state of one supervisor. C(runtime) and C(failures) are directories, empty for none."""

    def __init__(self, runtime: str, failures: str) -> None:
        self._path = os.path.join(runtime, "state.json") if runtime else ""
        self._failures = failures
        self.status = ""
        # The status line with all details, and whether systemd has it: its socket may be full for a moment.
        self._shown = ""
        self._is_notified = True
        self._serves = False
        self._saved: dict[str, t.Any] = {"served": False, "missing": {}, "failed": 0, "failure": "", **self._load()}
        self._is_saved = True

    def _load(self) -> dict[str, t.Any]:
        kinds = {"served": bool, "missing": dict, "failed": int, "failure": str}
        return {name: value for name, value in _reading.read_json(self._path).items() if isinstance(value, kinds.get(name, object))}

    def _save(self, **values: t.Any) -> None:
        """Save values for the next generation. On a full disk this generation continues without saved values."""
        self._saved.update(values)
        if not self._path:
            return
        try:
            keep(self._path, json.dumps(self._saved))
        except OSError as error:
            if self._is_saved:
                print(f"cannot write {self._path}: {error.strerror}", flush=True)
            self._is_saved = False
        else:
            self._is_saved = True

    def can_save(self) -> bool:
        """Whether the state can be saved for the next generation; true where there is no directory for it."""
        self._save()
        return self._is_saved

    @property
    def has_served(self) -> bool:
        """Whether the service has served since the host was booted."""
        return bool(self._saved["served"])

    @property
    def failed(self) -> int:
        """How many generations have failed since the service last served."""
        return int(self._saved["failed"])

    def report(self, text: str, shown: str = "") -> None:
        """Report a status line to systemd, and to the journal when it is a new one.

        :param shown: the status line with details that change all the time, which the journal does not have
        """
        text, shown = one_line(text), one_line(shown or text)
        if text != self.status:
            self.status = text
            print(text, flush=True)
            self._save(text=text)
        if shown != self._shown:
            self._shown = shown
            self._is_notified = False
        self.repeat()

    def repeat(self) -> None:
        """Report the status line again if systemd does not have it."""
        if not self._is_notified:
            self._is_notified = notify(f"STATUS={self._shown}")

    def feed_watchdog(self) -> None:
        """Tell systemd's watchdog that this process runs."""
        notify("WATCHDOG=1")

    def report_serving(self, text: str, shown: str = "") -> None:
        """Report that the service serves (see C(report)): earlier failures no longer count."""
        if not self._serves:
            self._save(served=True, missing={}, failed=0, failure="")
            self._serves = notify("READY=1")
        self.report(text, shown)

    def note_answer(self) -> None:
        """Save when the engine last answered a probe, or showed by its counters that it works, in seconds since 1970."""
        self._save(answered=int(time.time()))

    def forget_failed(self) -> None:
        """Count no earlier failure: the next start does not back off. The log of the first failure stays until the service serves."""
        self._save(failed=0)

    def note_missing(self, names: t.Iterable[str]) -> dict[str, str]:
        """Return since when each of these nodes has been missing. All others count as present."""
        before = self._saved["missing"]
        missing = {name: before.get(name) or now() for name in names}
        if missing != before:
            self._save(missing=missing)
        return missing

    def keep_failure(
        self, reason: str, output: t.Sequence[str], folders: t.Sequence[str], count: bool, more: t.Mapping[str, str] | None = None,
    ) -> str:
        """Keep the log of a failed generation when it is the first failure since the service served; return the path of that log.

        :param folders: directories with log files, whose ends are kept as well
        :param count: whether it counts among the failures that make the next start back off
        :param more: further texts to keep, by file name; empty ones are left out
        """
        first = self._saved["failure"]
        # Save the count first: without it the next start would not back off.
        self._save(failed=self.failed + count)
        if not first and self._failures:
            first = self._new_folder()
            try:
                # Old logs first: the disk may be full of them.
                self._prune()
                keep_log(first, reason, output, folders, more)
            except OSError as error:
                print(f"cannot keep the log of this failure: {error}", flush=True)
                shutil.rmtree(first, ignore_errors=True)
                return ""
            self._save(failure=first)
        return str(first)

    def _new_folder(self) -> str:
        """Return a directory for a log, named by the time. A clock that was set back, as on a host without one after each boot, may give the same name."""
        wanted = folder = os.path.join(self._failures, datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ"))
        number = 1
        while os.path.lexists(folder):
            number += 1
            folder = f"{wanted}-{number}"
        return folder

    def _prune(self) -> None:
        """Remove the oldest logs, so that there is room for one more."""
        for old in sorted(os.listdir(self._failures) if os.path.isdir(self._failures) else [])[:1 - KEPT_FAILURES]:
            shutil.rmtree(os.path.join(self._failures, old), ignore_errors=True)


def keep(path: str, text: str) -> None:
    """Replace a file atomically; when the disk has no space for a second file, overwrite it in place. Raises OSError."""
    data = text.encode()
    try:
        _writing.replace(path, data)
        return
    except OSError:
        pass
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()


def keep_log(folder: str, reason: str, output: t.Sequence[str], folders: t.Sequence[str], more: t.Mapping[str, str] | None = None) -> None:
    """Write the log of a failure: its reason, the program's output, further texts, and the ends of the newest log files. Raises OSError."""
    os.makedirs(folder, exist_ok=True)
    for name, text in {"output.log": f"{now()}: {reason}\n\n" + "".join(line + "\n" for line in output), **(more or {})}.items():
        if text:
            with open(os.path.join(folder, name), "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
    # os.walk does not follow links: Ray's session_latest points to a directory beside it.
    found = [os.path.join(path, name) for source in folders for path, _folders, names in os.walk(source) for name in names if name.endswith(LOGS)]
    try:
        for path in sorted(found, key=_age)[:KEPT_FILES]:
            keep_end(path, os.path.join(folder, os.path.basename(path)))
    except OSError as error:
        # The program's output, the most important part, is there.
        print(f"the log of this failure is incomplete: {error}", flush=True)


def _age(path: str) -> float:
    """Sort key of log files: the newest first, missing ones last."""
    try:
        return -os.lstat(path).st_mtime
    except OSError:
        return 0.0


def keep_end(source: str, target: str) -> None:
    """Copy the end of a regular file. Skips empty and missing files, links and pipes. Raises OSError when the target cannot be written."""
    if os.path.exists(target):
        return
    try:
        # Without O_NONBLOCK, opening a pipe would wait for a writer.
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
    """Remove the files that the previous generation has left in a directory of the service. Reports and skips files that cannot be removed."""
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        path = os.path.join(folder, name)
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except OSError as error:
            print(f"cannot remove a file of the previous generation: {error}", flush=True)
