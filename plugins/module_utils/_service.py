# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one model service's unit needs: compared are the files on disk and the record of what the running process was started with."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pwd
import stat

from . import _accounts, _last_known_good, _safe_paths, _systemd
from ._host import UNIT_DIRECTORY, UNIT_MARK, read_text

# Written by the unit at each start, gone with a reboot as the process is. Only root can read it.
RECORD_DIRECTORY = "/run/inferops"


@dataclasses.dataclass
class Service:
    """A model service as the plan wants it; `state` is "present" or "absent"."""

    unit: str
    environment_file: str
    cache: str | None
    state: str
    # File with the last known good state.
    served: str | None = None
    # Further folders that go with an absent service.
    folders: list[str] = dataclasses.field(default_factory=list)
    # The account that goes with it.
    account: str | None = None

    @property
    def path(self) -> str:
        """Where the unit file stands."""
        return os.path.join(UNIT_DIRECTORY, self.unit)

    @property
    def started_record(self) -> str:
        """Where the unit writes, at each start, the checksums of what it starts with."""
        return os.path.join(RECORD_DIRECTORY, self.unit + ".started")

    @property
    def checked_record(self) -> str:
        """Where the start (its invocation id) is kept that has passed the gate."""
        return os.path.join(RECORD_DIRECTORY, self.unit + ".checked")

    def is_unmanaged(self) -> bool:
        """Tell whether a unit file of this name is there that is not ours."""
        return os.path.exists(self.path) and not read_text(self.path).startswith(UNIT_MARK)

    def properties(self) -> dict[str, str]:
        """Return what systemd says of the unit."""
        return _systemd.show(self.unit, "LoadState", "ActiveState", "SubState", "UnitFileState", "InvocationID")

    def needed_action(self, start: bool) -> str:
        """Return what brings the unit to its state: none, enable, start, restart or remove."""
        found = self.properties()
        if self.state == "absent":
            left = any(_safe_paths.exists(path) for path in self.leftovers()) or bool(self.account and _accounts.is_ours(self.account))
            return "none" if found["LoadState"] == "not-found" and not left else "remove"
        if start and found["ActiveState"] in ("inactive", "failed"):
            return "start"
        # It fell and waits for systemd's next try: what stood in its way may be gone, so it gets a first try again.
        if start and found["SubState"] == "auto-restart":
            return "restart"
        if start and not self.runs_current_files():
            return "restart"
        return "none" if found["UnitFileState"] == "enabled" else "enable"

    def runs_current_files(self) -> bool:
        """Tell whether the running process was started with the unit and environment files that are on the disk now."""
        expected = "".join(f"{checksum(path)}  {path}\n" for path in (self.path, self.environment_file))
        return read_text(self.started_record) == expected + "NeedDaemonReload=no\n"

    def leftovers(self) -> list[str]:
        """Return the paths that go with an absent service."""
        return [path for path in (self.path, self.environment_file, self.cache, self.served, *self.folders) if path]

    def was_checked(self) -> bool:
        """Tell whether the present start has passed the gate."""
        return read_text(self.checked_record) == self.properties()["InvocationID"]

    def is_kept(self) -> bool:
        """Tell whether the files on the disk are those of the last known good state."""
        kept = _last_known_good.load(self.served) if self.served else None
        return kept is not None and not kept.differs()

    def runs_as_another(self) -> bool:
        """Tell whether the unit's main process belongs to another account than the one that its unit file names by now."""
        found = _systemd.show(self.unit, "MainPID", "User")
        try:
            return found["MainPID"] not in ("", "0") and os.stat(f"/proc/{found['MainPID']}").st_uid != pwd.getpwnam(found["User"]).pw_uid
        except (OSError, KeyError):
            return False

    def do(self, action: str) -> None:
        """Carry out an action. Starting does not wait for readiness. Raises RuntimeError with systemctl's words."""
        if action in ("enable", "start", "restart"):
            _systemd.systemctl("enable", "--quiet", self.unit)
        if action in ("start", "restart"):
            # A unit that failed too often refuses to start until its count is reset.
            _systemd.systemctl("reset-failed", self.unit)
            _systemd.systemctl(action, "--no-block", self.unit)
        if action == "remove":
            self.remove()

    def stop(self) -> None:
        """Stop the service and wait until none of its processes is left, so that nothing of it holds GPU memory or the port."""
        # systemd calls a unit inactive when its control group is empty: SIGTERM, the stop timeout, then SIGKILL to all of them.
        _systemd.systemctl("stop", self.unit)

    def remove(self) -> None:
        """Stop the service and take away its files; the weights and the release stay."""
        if self.properties()["LoadState"] != "not-found":
            _systemd.systemctl("disable", "--quiet", "--now", self.unit)
            # systemd lists what has failed until it is told otherwise, also when the unit is no more. Of another unit it may know nothing by now.
            if self.properties()["ActiveState"] == "failed":
                _systemd.systemctl("reset-failed", self.unit)
        for path in self.leftovers():
            _safe_paths.remove(path)
        _systemd.systemctl("daemon-reload")
        # Last: what is left of a removal that was cut short belongs to somebody who is known.
        if self.account:
            _accounts.remove(self.account)


def has_environment(path: str, content: str) -> bool:
    """Tell whether an environment file has this text and is root's alone."""
    try:
        found = os.lstat(path)
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), encoding="utf-8", newline="") as file:
            text = file.read(len(content) + 1)
    except (OSError, UnicodeDecodeError):
        return False
    return text == content and stat.S_IMODE(found.st_mode) == 0o600 and (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())


def checksum(path: str) -> str:
    """Return the sha256 of a file as sha256sum prints it, or an empty string where there is none."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def reload_if_needed(services: list[Service]) -> None:
    """Make systemd read its unit files again when one of ours is newer than what it has loaded."""
    for service in services:
        if os.path.exists(service.path):
            found = _systemd.show(service.unit, "NeedDaemonReload", "LoadState")
            if found["NeedDaemonReload"] == "yes" or found["LoadState"] == "not-found":
                _systemd.systemctl("daemon-reload")
                return
