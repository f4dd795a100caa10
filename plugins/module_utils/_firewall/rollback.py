# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollback: the previous state of the firewall is saved before a change, and a systemd timer restores it unless somebody confirms the change.

In C(<state_dir>/firewall), for root alone:

    before-first-change/   the state before the very first change, for the administrator; never overwritten
    former/                the state before the unconfirmed change; exists only until it is confirmed
    returned               when the timer last restored a state; removed when a later change is confirmed
    lock                   held by the process that changes the firewall
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import typing as t

from contextlib import contextmanager

from .. import _host, _systemd

UNIT = "inferops-firewall-return"
# The link that `systemctl enable` creates for the timer.
ARMED = f"/etc/systemd/system/timers.target.wants/{UNIT}.timer"
# Files that a change can touch.
CHANGED = ("/etc/default/ufw", "/etc/ufw/ufw.conf", "/etc/ufw/user.rules", "/etc/ufw/user6.rules")

_SCRIPT = """\
#!/bin/sh
# {mark}: restores the state of the firewall before an unconfirmed change. {unit}.service runs it.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd '{directory}' || exit 1
exec 9>lock
flock --wait 120 9 || exit 1
[ -d former ] || exit 0

/lib/ufw/ufw-init force-stop || exit 1
for file in {changed}; do
    if [ -e "former$file" ]; then
        cp --preserve=mode,ownership,timestamps "former$file" "$file.inferops" && mv "$file.inferops" "$file" || exit 1
    fi
done
if [ -e former/enabled ]; then
    /lib/ufw/ufw-init start || exit 1
fi
while read -r command chain policy; do
    "$command" -P "$chain" "$policy" || exit 1
done <former/policies
[ -e former/boot ] || systemctl disable ufw.service
# Stop the unit too, so that its state is right; its rules are unloaded already.
[ -e former/enabled ] || systemctl stop --no-block ufw.service

date --utc +%Y-%m-%dT%H:%M:%SZ >returned
rm -rf former
rm -f {armed}
echo "the previous state of the firewall is restored"
"""

_SERVICE = """\
# {mark}
[Unit]
Description=Roll back an unconfirmed change of the firewall
ConditionPathExists={directory}/former
After=ufw.service
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/bin/sh {directory}/return.sh
Restart=on-failure
RestartSec=2
"""

_TIMER = """\
# {mark}
[Unit]
Description=Wait for the confirmation of a change of the firewall

[Timer]
OnActiveSec={seconds}
AccuracySec=1

[Install]
WantedBy=timers.target
"""


class Rollback:
    """The rollback of this host.

    :param state_dir: state directory of the collection
    """

    def __init__(self, state_dir: str) -> None:
        self.directory = os.path.join(state_dir, "firewall")
        self._former = os.path.join(self.directory, "former")
        self._returned = os.path.join(self.directory, "returned")

    def is_pending(self) -> bool:
        """Whether a change is unconfirmed. A saved state without a timer belongs to a change that was never started."""
        return os.path.isdir(self._former) and os.path.islink(ARMED)

    def returned(self) -> str:
        """When a change was last rolled back; empty if none was, or if one was confirmed since."""
        return _host.read_text(self._returned).strip()

    @contextmanager
    def locked(self) -> t.Iterator[None]:
        """Hold the lock that keeps out the timer's script and other runs. The kernel releases it when the process ends."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        with open(os.path.join(self.directory, "lock"), "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def back_up(self, tables: t.Mapping[int, str]) -> t.Optional[str]:
        """Save the state before the very first change, once. Returns its directory, or None when it was saved before.

        :param tables: output of iptables-save and ip6tables-save by family
        """
        place = os.path.join(self.directory, "before-first-change")
        if os.path.isdir(place):
            return None
        making = f"{place}.partial"
        shutil.rmtree(making, ignore_errors=True)
        os.makedirs(making, mode=0o700)
        for folder, _folders, names in os.walk("/etc/ufw"):
            for name in names:
                _copy(os.path.join(folder, name), making)
        _copy("/etc/default/ufw", making)
        write(os.path.join(making, "iptables-save"), tables[4])
        write(os.path.join(making, "ip6tables-save"), tables[6])
        _only_roots(making)
        os.rename(making, place)
        return place

    def keep_former(self, is_enabled: bool, starts_at_boot: bool, policies: t.Mapping[str, t.Mapping[str, str]], client_port: int) -> None:
        """Save the state before this change. The state before an earlier unconfirmed change stays instead.

        :param is_enabled: whether UFW is active now
        :param policies: policies of the built-in chains by command; UFW changes them and does not restore them
        :param client_port: client port of the connection that makes the change; 0 for none
        """
        if self.is_pending():
            write(os.path.join(self._former, "client_port"), str(client_port))
            return
        making = f"{self._former}.partial"
        shutil.rmtree(making, ignore_errors=True)
        os.makedirs(making, mode=0o700)
        for path in CHANGED:
            _copy(path, making)
        lines = [f"{command} {chain} {policy}\n" for command, chains in policies.items() for chain, policy in chains.items()]
        write(os.path.join(making, "policies"), "".join(lines))
        write(os.path.join(making, "client_port"), str(client_port))
        for name, holds in (("enabled", is_enabled), ("boot", starts_at_boot)):
            if holds:
                write(os.path.join(making, name), "")
        shutil.rmtree(self._former, ignore_errors=True)
        os.rename(making, self._former)

    def arm(self, seconds: int) -> None:
        """Start the rollback timer, which also runs after a boot. A repeated call restarts the time."""
        words = {
            "mark": _host.UNIT_MARK.lstrip("# "), "unit": UNIT, "directory": self.directory, "changed": " ".join(CHANGED),
            "seconds": seconds, "armed": ARMED,
        }
        write(os.path.join(self.directory, "return.sh"), _SCRIPT.format(**words))
        changed = [write(f"/etc/systemd/system/{UNIT}.{kind}", text.format(**words), 0o644) for kind, text in (("service", _SERVICE), ("timer", _TIMER))]
        if any(changed):
            _systemd.systemctl("daemon-reload")
        _systemd.systemctl("enable", "--quiet", f"{UNIT}.timer")
        _systemd.systemctl("restart", f"{UNIT}.timer")

    def client_port(self) -> int:
        """The client port of the connection that made the pending change; 0 for none."""
        text = _host.read_text(os.path.join(self._former, "client_port"))
        return int(text) if text.isdigit() else 0

    def disarm(self) -> None:
        """The change is confirmed: remove the saved state and the rollback timer."""
        # Rename first, which is atomic: without this directory the script restores nothing.
        gone = f"{self._former}.gone"
        shutil.rmtree(gone, ignore_errors=True)
        if os.path.isdir(self._former):
            os.rename(self._former, gone)
        if os.path.exists(f"/etc/systemd/system/{UNIT}.timer"):
            _systemd.systemctl("disable", "--quiet", "--now", f"{UNIT}.timer")
        for path in (f"/etc/systemd/system/{UNIT}.timer", f"/etc/systemd/system/{UNIT}.service", self._returned):
            if os.path.exists(path):
                os.remove(path)
        shutil.rmtree(gone, ignore_errors=True)
        _systemd.systemctl("daemon-reload")


def _copy(path: str, base: str) -> None:
    """Copy a file with its owner and mode to the same path in a folder. Ignores missing files."""
    if os.path.isfile(path):
        target = base + path
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        shutil.copy2(path, target)
        found = os.stat(path)
        os.chown(target, found.st_uid, found.st_gid)


def _only_roots(base: str) -> None:
    for folder, _folders, names in os.walk(base):
        for name in names:
            os.chmod(os.path.join(folder, name), stat.S_IRUSR | stat.S_IWUSR)


def write(path: str, text: str, mode: int = 0o600) -> bool:
    """Write a file atomically. Returns whether its text has changed."""
    if _host.read_text(path) == text and os.path.exists(path):
        return False
    making = f"{path}.partial"
    with open(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(making, path)
    return True
