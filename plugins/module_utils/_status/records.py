# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the supervisor of a unit has recorded: failed starts in a row, and the log of the last failure.

Both are in directories of the service's account, so no link is followed, and only the beginning of a file is read.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import os
import re
import stat
import typing as t

from .. import _safe_paths
from .._service import SUPERVISOR_DIRECTORY
from . import texts

# Limits in bytes and entries: a supervisor's own record has some 200 bytes, and it keeps ten logs.
MOST_BYTES = 64 * 1024
MOST_ENTRIES = 1000
# The name of a log, as the supervisor's C(_new_folder) makes it, and the first line of its C(output.log).
_NAME = re.compile(r"(\d{8}T\d{6})Z(?:-(\d{1,4}))?")
_FIRST = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: (.*)")


@dataclasses.dataclass(frozen=True)
class Record:
    """C(failed) is how many starts have failed since the service last served, C(text) the supervisor's last status line, C(missing) the nodes that it
    waits for, and C(answered) when the engine last answered a probe (UTC, ISO 8601; empty if it has not)."""

    failed: int = 0
    text: str = ""
    missing: tuple[str, ...] = ()
    answered: str = ""


def supervisor(unit: str, directory: str = SUPERVISOR_DIRECTORY) -> Record:
    """Return what the unit's supervisor has saved; an empty record when there is none since the host's boot."""
    try:
        found = json.loads(_beginning(os.path.join(directory, unit.rpartition(".")[0]), "state.json"))
    except (OSError, ValueError, RecursionError):
        return Record()
    if not isinstance(found, dict):
        return Record()
    missing = found.get("missing")
    names = [texts.one_line(name, 80) for name in itertools.islice(missing, 100)] if isinstance(missing, dict) else []
    return Record(texts.whole(found.get("failed")) or 0, texts.one_line(found.get("text")), tuple(names), _moment(found.get("answered")))


def last_failure(folder: str) -> dict[str, t.Any] | None:
    """Return time (UTC, ISO 8601), reason and path of the newest log in a unit's directory of failures; None without one.

    A supervisor keeps the log of the first failure since the service served. Raises OSError when the directory cannot be read.
    """
    try:
        opened = _safe_paths.open_folder(folder)
    except FileNotFoundError:
        return None
    try:
        with os.scandir(opened) as entries:
            matches = [match for match in (_NAME.fullmatch(entry.name) for entry in itertools.islice(entries, MOST_ENTRIES)) if match]
    finally:
        os.close(opened)
    times = [(time, int(match[2] or 1), match[0]) for match in matches for time in [_time(match[1])] if time]
    if not times:
        return None
    time, _number, name = max(times)
    path = os.path.join(folder, name)
    try:
        first = _FIRST.match(_beginning(path, "output.log").partition("\n")[0])
    except OSError:
        first = None
    return {"at": time, "reason": texts.one_line(first[1]) if first else "", "path": path}


def _moment(seconds: t.Any) -> str:
    """Return a time in seconds since 1970 as a date."""
    whole = texts.whole(seconds)
    try:
        return datetime.datetime.fromtimestamp(whole, datetime.timezone.utc).isoformat(timespec="seconds") if whole else ""
    except (ValueError, OverflowError, OSError):
        return ""


def _time(stamp: str) -> str:
    try:
        return datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=datetime.timezone.utc).isoformat(timespec="seconds")
    except ValueError:
        return ""


def _beginning(folder: str, name: str) -> str:
    """Return the beginning of a regular file whose owner is that of its folder. Raises OSError."""
    opened = _safe_paths.open_folder(folder)
    try:
        with os.fdopen(os.open(name, _safe_paths.FILE, dir_fd=opened), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.fstat(opened).st_uid:
                raise OSError(f"{name} is not a regular file of its directory's owner")
            return file.read(MOST_BYTES).decode("utf-8", "replace")
    finally:
        os.close(opened)
