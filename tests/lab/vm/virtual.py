# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A virtual machine of the lab as its tests see it: its power switch, its boots, commands on it."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import ROOT, SSH_CONFIG, wait_until

POWER = str(ROOT / "lab" / "vm" / "machine.py")
SSH = ["ssh", "-F", SSH_CONFIG, "-o", "ConnectTimeout=10", "-o", "ControlPath=none", "-o", "ServerAliveInterval=10"]


@dataclass(frozen=True)
class Machine:
    """The machine O(name); O(folder) is where the lab keeps it."""

    name: str
    address: str
    folder: Path

    def run(self, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """A shell command as root, over a connection of its own: a kept one would not notice that the machine has gone. V(124): not within O(timeout)."""
        arguments = [*SSH, self.name, "sudo", "sh"]
        try:
            return subprocess.run(arguments, input=command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            return subprocess.CompletedProcess(arguments, 124, str(error), "")

    def output(self, command: str, timeout: float = 120) -> str:
        """What a command that succeeds prints."""
        done = self.run(command, timeout)
        assert done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout.strip()

    def listens(self, port: int) -> bool:
        """Whether something accepts a connection from the controller."""
        try:
            socket.create_connection((self.address, port), timeout=5).close()
        except OSError:
            return False
        return True

    def power(self, action: str) -> None:
        """V(cut) or V(start)."""
        subprocess.run([POWER, action, str(self.folder)], check=True)

    def boot_id(self) -> str:
        """Differs for each boot; empty while nobody answers."""
        done = self.run("cat /proc/sys/kernel/random/boot_id")
        return done.stdout.strip() if done.returncode == 0 else ""

    def booted(self, before: str) -> None:
        """Wait for SSH after another boot than O(before). It takes half a minute on a quiet controller, and many on one whose CPUs are busy."""
        wait_until(lambda: self.boot_id() not in ("", before), 1800, f"{self.name} boots and answers over SSH", every=2)

    def power_cut(self) -> None:
        """The power goes, and comes back at once; wait for SSH."""
        before = self.boot_id()
        self.power("cut")
        self.power("start")
        self.booted(before)

    def reboot(self) -> None:
        """Reboot as an operator does; wait for SSH."""
        before = self.boot_id()
        # The connection may end before the command does.
        self.run("systemctl reboot")
        wait_until(lambda: self.is_off() or self.boot_id() not in ("", before), 600, f"{self.name} goes down", every=2)
        # User Mode Linux ends there.
        self.power("start")
        self.booted(before)

    def is_off(self) -> bool:
        """Whether the machine has ended."""
        return subprocess.run([POWER, "status", str(self.folder)], check=True, capture_output=True, text=True).stdout.strip() == "off"

    def found(self, pattern: str) -> list[str]:
        """Paths that match a shell pattern."""
        return self.run(f"ls -d {pattern} 2>/dev/null").stdout.split()

    def journal(self, unit: str, lines: int = 40) -> str:
        """The last lines of a unit's journal, for a failed assertion to show."""
        return self.run(f"journalctl --no-pager --lines={lines} --unit={unit}").stdout
