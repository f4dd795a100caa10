# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has been changed outside of this collection about a unit: its file, its secrets, drop-ins, and what systemd or the process does not use yet.

A service that passes the health gate is recorded with its files (C(_last_known_good.py)). Files that differ from the record were changed by somebody else,
or by a run that did not finish. Nothing here returns a file's text: environment files have secrets.
"""

from __future__ import annotations

import os
import stat
import typing as t

from .. import _host, _last_known_good, _service
from . import manager

# Drop-ins of a distribution's packages are not changes.
_PACKAGED = ("/usr/lib/", "/lib/")


class Change(t.NamedTuple):
    """C(what) is a word for programs, C(path) the file, C(text) a sentence."""

    what: str
    path: str
    text: str


def record_of(state_dir: str, environment_file: str) -> str:
    """Return the path of a unit's last known good state, which has the base name of its environment file."""
    return os.path.join(state_dir, "served", os.path.basename(environment_file)[:-len(".env")] + ".json") if environment_file.endswith(".env") else ""


def changes(unit: str, state: manager.State, environment_file: str, record: str) -> list[dict[str, str]]:
    """Return what was changed about a unit."""
    path = os.path.join(_host.UNIT_DIRECTORY, unit)
    found = [*_files(path, environment_file, record), *_permissions(path, environment_file), *_manager(path, state)]
    if state.active in ("active", "activating", "reloading") and not found and not _runs_current_files(unit, path, environment_file):
        found.append(Change("restart_pending", path, f"the process of {unit} was started with other files than those on the disk, which the next start reads"))
    return [change._asdict() for change in found]


def _files(path: str, environment_file: str, record: str) -> t.Iterator[Change]:
    kept = _last_known_good.load(record) if record else None
    if kept is None:
        return
    gate = kept.kept.replace("T", " ").replace("+00:00", " UTC")
    since = f"since the service passed the health gate ({gate})"
    if (kept.unit_file, kept.environment_file) != (path, environment_file):
        yield Change("environment_file", environment_file, f"{path} has another environment file {since}: {environment_file or 'none'}")
    elif _last_known_good.read(environment_file) != kept.environment_text:
        yield Change("environment_file", environment_file, f"{environment_file} has changed {since}")
    if _last_known_good.read(path) != kept.unit_text:
        yield Change("unit_file", path, f"{path} has changed {since}")


def _permissions(path: str, environment_file: str) -> t.Iterator[Change]:
    for file, mode, what in ((path, 0o644, "unit_file_mode"), (environment_file, 0o600, "environment_file_mode")):
        if not file:
            continue
        try:
            found = os.lstat(file)
        except OSError as error:
            yield Change(what, file, f"{file} cannot be read: {error.strerror}")
            continue
        if not stat.S_ISREG(found.st_mode):
            yield Change(what, file, f"{file} is not a regular file")
        elif (found.st_uid, stat.S_IMODE(found.st_mode)) != (os.geteuid(), mode):
            yield Change(what, file, f"{file} has owner {found.st_uid} and mode {stat.S_IMODE(found.st_mode):04o} instead of 0 and {mode:04o}")


def _manager(path: str, state: manager.State) -> t.Iterator[Change]:
    if state.needs_reload:
        yield Change("daemon_reload", path, f"systemd has not loaded the present {path} or a drop-in of it (systemctl daemon-reload)")
    for drop_in in state.drop_ins:
        if not drop_in.startswith(_PACKAGED):
            yield Change("drop_in", drop_in, f"the drop-in {drop_in} changes the unit")
    if state.enabled != "enabled":
        yield Change("not_enabled", path, f"the unit is {state.enabled or 'not enabled'}: it does not start at boot")


def _runs_current_files(unit: str, path: str, environment_file: str) -> bool:
    """Whether the process was started with the present files. True without a record of its start, which only root reads."""
    service = _service.Service(unit, environment_file, None, "present")
    return not _host.read_text(service.started_record) or service.runs_current_files()
