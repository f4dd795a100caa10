# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one model service's unit needs. Compares the files on the disk with the record of the files that the running process was started with."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pwd
import stat

from . import _accounts, _green, _last_known_good, _safe_paths, _systemd
from ._host import UNIT_DIRECTORY, UNIT_MARK, read_text, service_of

# The unit writes its record at each start; a reboot removes it together with the process. Only root can read it.
RECORD_DIRECTORY = "/run/inferops"
# What the supervisors remember from one start to the next (RuntimeDirectory= of the units): failed starts, missing nodes.
SUPERVISOR_DIRECTORY = "/run/inferops-supervisor"


@dataclasses.dataclass
class Service:
    """The wanted state of a unit of a model service; `state` is "present", "absent" or "former".

    A former unit is one that other units of its service replace. It goes, and its last known good state stays until they have passed the health gate.
    """

    unit: str
    environment_file: str
    cache: str | None
    state: str
    # File with the last known good state.
    served: str | None = None
    # Further folders that are removed with an absent service.
    folders: list[str] = dataclasses.field(default_factory=list)
    # The account that is removed with it.
    account: str | None = None
    # Where its unit file is; empty for the directory of units that the collection installs.
    directory: str = ""

    @property
    def path(self) -> str:
        """The path of the unit file."""
        return os.path.join(self.directory or UNIT_DIRECTORY, self.unit)

    @property
    def green_unit(self) -> str:
        """The unit in which a run tries a new engine beside this one; empty for units of nodes. Every service has a list of those that it must not have."""
        name = service_of(self.unit)
        return _green.unit_of(name) if self.unit == f"vllm-{name}.service" else ""

    def has_green(self) -> bool:
        """Whether a run has left a new engine beside this one, or goes on."""
        return bool(self.green_unit) and _green.is_there(self.green_unit)

    @property
    def started_record(self) -> str:
        """The file in which the unit records, at each start, the checksums of its files."""
        return os.path.join(RECORD_DIRECTORY, self.unit + ".started")

    @property
    def checked_record(self) -> str:
        """The file with the invocation id of the start that has passed the health gate."""
        return os.path.join(RECORD_DIRECTORY, self.unit + ".checked")

    @property
    def supervisor_folder(self) -> str:
        """The directory in which the unit's supervisor remembers failed starts. It belongs to the service's account."""
        return os.path.join(SUPERVISOR_DIRECTORY, self.unit.rpartition(".")[0])

    def is_unmanaged(self) -> bool:
        """Whether an unmanaged unit file of this name exists."""
        return os.path.exists(self.path) and not read_text(self.path).startswith(UNIT_MARK)

    def properties(self) -> dict[str, str]:
        """Return properties of the unit from systemd."""
        return _systemd.show(self.unit, "LoadState", "ActiveState", "SubState", "UnitFileState", "InvocationID")

    def needed_action(self, start: bool) -> str:
        """Return the action that the unit needs: none, enable, start, restart, retire or remove."""
        found = self.properties()
        if self.state == "former" and self.has_good_state():
            left = any(_safe_paths.exists(path) for path in self.files()) or self.has_green()
            return "none" if found["LoadState"] == "not-found" and not left else "retire"
        if self.state != "present":
            left = any(_safe_paths.exists(path) for path in self.leftovers()) or self.has_green()
            left = left or bool(self.account and _accounts.is_ours(self.account))
            return "none" if found["LoadState"] == "not-found" and not left else "remove"
        if start and found["ActiveState"] in ("inactive", "failed"):
            return "start"
        # It has failed and waits for systemd's next attempt: the cause may be fixed, so start it at once.
        if start and found["SubState"] == "auto-restart":
            return "restart"
        if start and not self.runs_current_files():
            return "restart"
        return "none" if found["UnitFileState"] == "enabled" else "enable"

    def runs_current_files(self) -> bool:
        """Whether the running process was started with the present unit and environment files."""
        expected = "".join(f"{checksum(path)}  {path}\n" for path in (self.path, self.environment_file))
        return read_text(self.started_record) == expected + "NeedDaemonReload=no\n"

    def files(self) -> list[str]:
        """Return the paths that are removed with a former unit: a rollback restores its files from its last known good state, and needs its folders."""
        return [path for path in (self.path, self.environment_file, self.supervisor_folder) if path]

    def leftovers(self) -> list[str]:
        """Return the paths that are removed with an absent service."""
        served = [self.served, _last_known_good.earlier_file(self.served)] if self.served else []
        return [*self.files(), *(path for path in (self.cache, *served, *self.folders) if path)]

    def has_good_state(self) -> bool:
        """Whether the unit has a last known good state."""
        return self.served is not None and _last_known_good.load(self.served) is not None

    def occupies(self) -> bool:
        """Whether the unit runs, or starts or stops."""
        return self.properties()["ActiveState"] not in ("inactive", "failed", "")

    def was_checked(self) -> bool:
        """Whether the present start has passed the health gate."""
        return read_text(self.checked_record) == self.properties()["InvocationID"]

    def is_kept(self) -> bool:
        """Whether the files on the disk are those of the last known good state."""
        kept = _last_known_good.load(self.served) if self.served else None
        return kept is not None and not kept.differs()

    def runs_as_another(self) -> bool:
        """Whether the unit's main process runs as another account than the unit file now names."""
        found = _systemd.show(self.unit, "MainPID", "User")
        try:
            return found["MainPID"] not in ("", "0") and os.stat(f"/proc/{found['MainPID']}").st_uid != pwd.getpwnam(found["User"]).pw_uid
        except (OSError, KeyError):
            return False

    def do(self, action: str) -> None:
        """Carry out an action. Starting does not wait for readiness. Raises RuntimeError with systemctl's message."""
        if action in ("enable", "start", "restart"):
            _systemd.systemctl("enable", "--quiet", self.unit)
        if action in ("start", "restart"):
            if self.properties()["ActiveState"] != "active":
                # Its failures may be those of another configuration: this start does not back off for them.
                _safe_paths.remove(os.path.join(self.supervisor_folder, "state.json"))
            # systemd does not start a unit that has failed too often until its counter is reset.
            _systemd.systemctl("reset-failed", self.unit)
            _systemd.systemctl(action, "--no-block", self.unit)
        if action == "retire":
            self.remove(self.files())
        if action == "remove":
            self.remove()

    def stop(self) -> None:
        """Stop the service and wait until none of its processes is left, so that GPU memory and port are free."""
        # A unit is inactive when its control group is empty: systemd sends SIGTERM, and after the stop timeout SIGKILL to all processes.
        found = self.properties()
        # systemctl fails for a unit without a file, such as a former one that a rollback is going to restore.
        if (found["LoadState"], found["ActiveState"]) != ("not-found", "inactive"):
            _systemd.systemctl("stop", self.unit)

    def remove_green(self) -> None:
        """Stop and remove the unit that a run may have left beside this one: it would go on serving. Raises RuntimeError and OSError."""
        if self.has_green():
            _green.remove(self.green_unit)

    def remove(self, paths: list[str] | None = None) -> None:
        """Stop the service and remove its account and these paths, by default all of its own; the weights and the release stay.

        Raises RuntimeError and OSError.
        """
        self.remove_green()
        if self.properties()["LoadState"] != "not-found":
            _systemd.systemctl("disable", "--quiet", "--now", self.unit)
            # systemd lists a failed unit until reset-failed, even without its file. A unit that has not failed may be unknown to systemd by now.
            if self.properties()["ActiveState"] == "failed":
                _systemd.systemctl("reset-failed", self.unit)
        for path in self.leftovers() if paths is None else paths:
            _safe_paths.remove(path)
        _systemd.systemctl("daemon-reload")
        # The account last, so that the files of an interrupted removal still have a known owner.
        if self.account:
            _accounts.remove(self.account)


def has_environment(path: str, content: str) -> bool:
    """Whether an environment file has this text and is readable by root alone."""
    try:
        found = os.lstat(path)
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), encoding="utf-8", newline="") as file:
            text = file.read(len(content) + 1)
    except (OSError, UnicodeDecodeError):
        return False
    return text == content and stat.S_IMODE(found.st_mode) == 0o600 and (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())


def checksum(path: str) -> str:
    """Return the sha256 of a file as sha256sum prints it, or an empty string when it does not exist."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def reload_if_needed(services: list[Service]) -> None:
    """Reload systemd when a managed unit file is newer than the loaded one."""
    for service in services:
        if os.path.exists(service.path):
            found = _systemd.show(service.unit, "NeedDaemonReload", "LoadState")
            if found["NeedDaemonReload"] == "yes" or found["LoadState"] == "not-found":
                _systemd.systemctl("daemon-reload")
                return
