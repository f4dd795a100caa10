# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of Debian's packages that get their arguments from this collection by a drop-in (role monitoring): run with them, and given back.

What has to be done follows from the host's state alone, so that a run completes what an earlier one, which failed or was killed, left undone.
"""

from __future__ import annotations

import os
import re
import time
import typing as t

from . import _host, _package_changes, _safe_paths, _systemd

PROGRAMS = ("prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter", "prometheus-node-exporter")
# The packages that the role has installed, one a line.
RECORD = "/etc/prometheus/inferops-packages"
# An empty file for each program that is being given back. A boot, which gives the program its own arguments, removes it too.
PENDING = "/run/inferops-monitoring"
# Seconds until a program listens, and until a port that another program has counts as taken.
SECONDS, TAKEN_SECONDS = 60.0, 10.0
_ARGUMENTS = re.compile(r"argv\[\]=(.*?) ; (?:ignore_errors|flags)=", re.DOTALL)
_PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "MainPID", "ExecStart", "StateChangeTimestampMonotonic")


def drop_in(program: str) -> str:
    """The path of a program's drop-in."""
    return f"{_host.UNIT_DIRECTORY}/{program}.service.d/{_package_changes.DROP_IN}"


def pending(program: str) -> str:
    """The path of the file that says that a program is being given back."""
    return os.path.join(PENDING, program)


def recorded() -> list[str]:
    """The packages that the role has installed."""
    return [line.strip() for line in _safe_paths.read_text(RECORD).splitlines() if line.strip()]


def needed(unit: str, files: t.Iterable[str]) -> list[str]:
    """Return what a unit needs in order to run with its arguments and files, of C(daemon-reload), C(enable), C(restart) and C(reload).

    :param files: files that it reads when it starts or is reloaded, and directories of such files
    """
    found = _systemd.show(unit, *_PROPERTIES)
    stale = found["NeedDaemonReload"] == "yes" or found["LoadState"] == "not-found"
    actions = ["daemon-reload"] if stale else []
    if found["UnitFileState"] != "enabled":
        actions.append("enable")
    if stale or found["ActiveState"] not in ("active", "reloading") or not _has_its_arguments(found):
        return [*actions, "restart"]
    return [*actions, "reload"] if _are_newer(files, found["StateChangeTimestampMonotonic"]) else actions


def _has_its_arguments(found: t.Mapping[str, str]) -> bool:
    """Whether the process runs the command of its unit. Quotes do not count: systemctl's versions quote differently."""
    match = _ARGUMENTS.search(found["ExecStart"])
    running = _host.read_text(f"/proc/{found['MainPID']}/cmdline").replace("\0", " ")
    return match is not None and _plain(match.group(1)) == _plain(running)


def _plain(text: str) -> str:
    return re.sub(r"[\s\"'\\]", "", text)


def _are_newer(files: t.Iterable[str], changed: str) -> bool:
    """Whether files, or a directory's entries, have changed since a unit's state did: its start, or its last reload.

    :param changed: microseconds of the monotonic clock
    """
    at = time.time() - time.monotonic() + (int(changed) / 1e6 if changed.isdigit() else 0.0)
    for path in files:
        inside = [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else []
        for one in (path, *inside):
            # A file that vanishes meanwhile changes its directory.
            if os.path.lexists(one) and os.lstat(one).st_ctime > at:
                return True
    return False


def run(unit: str, files: t.Sequence[str], check: bool) -> list[str]:
    """Have a unit run with its arguments and files, now and after a boot. Return what was done. Raises RuntimeError with systemctl's message."""
    actions = needed(unit, files)
    if check or not actions:
        return actions
    done = []
    if actions[0] == "daemon-reload":
        _systemd.systemctl("daemon-reload")
        done = ["daemon-reload"]
        actions = [action for action in needed(unit, files) if action != "daemon-reload"]
    for action in actions:
        _systemd.systemctl(action, unit)
    return [*done, *actions]


def restore(program: str, check: bool) -> bool:
    """Give a program back to its package, and return whether there was something to do. Raises OSError and RuntimeError.

    It runs again with its own arguments if it ran; one whose package the role has installed is stopped and disabled, since its own arguments let it
    listen on all addresses, unless an administrator has configured it since.
    """
    if not any(_safe_paths.exists(path) for path in (drop_in(program), pending(program))):
        return False
    if check:
        return True
    os.makedirs(PENDING, 0o700, exist_ok=True)
    with open(pending(program), "wb"):
        pass
    _safe_paths.remove(drop_in(program))
    _remove_if_empty(os.path.dirname(drop_in(program)))
    _systemd.systemctl("daemon-reload")
    unit = f"{program}.service"
    state = _systemd.show(unit, "LoadState", "ActiveState")
    if state["LoadState"] != "not-found":
        if _is_ours(program):
            _systemd.systemctl("disable", "--quiet", "--now", unit)
        elif state["ActiveState"] != "inactive":
            _systemd.systemctl("restart", unit)
    os.unlink(pending(program))
    _remove_if_empty(PENDING)
    return True


def _is_ours(program: str) -> bool:
    """Whether the role has installed a program's package, and nobody has changed its files since."""
    changed = [*_package_changes.changed_files([program]), *_package_changes.changed_units([f"{program}.service"], _host.UNIT_DIRECTORY)]
    return program in recorded() and not changed


def _remove_if_empty(path: str) -> None:
    if os.path.isdir(path) and not os.listdir(path):
        os.rmdir(path)


def wait_for_port(unit: str, port: int) -> str:
    """Wait until a unit listens on a port. Return an empty text, or what prevents it."""
    began = time.monotonic()
    while True:
        rows = [row for row in _host.read_listeners() if row["port"] == port]
        if any(row["unit"] == unit for row in rows):
            return ""
        waited = time.monotonic() - began
        if rows and waited >= TAKEN_SECONDS:
            return f"{rows[0]['unit'] or rows[0]['program'] or 'another program'} has port {port}"
        if waited >= SECONDS:
            return f"it does not listen on port {port}"
        time.sleep(1.0)
