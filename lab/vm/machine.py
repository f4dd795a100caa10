#!/usr/bin/env python3
# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A virtual machine of the lab: machine.py start|cut|remove|status FOLDER [OPTIONS]

C(start) creates FOLDER with a copy of the disk that C(build.sh) made, and starts the machine. The options of the first start are kept in
FOLDER: C(start FOLDER) alone starts the same machine again, on its own disk; so goes on one of kind V(uml) that reboots, which ends. C(cut) takes the power away: what the machine has not
written to its disk is lost. C(remove) does that and removes the machine's disk and its network interface. C(status) prints V(running) or
V(off). A command that finds nothing to do says nothing.

    FOLDER/disk          the machine's disk, sparse
    FOLDER/console.log   its console, of all starts
    FOLDER/machine.json  options, and the process: its number and when it started, so that no other process is ever taken for it

Two kinds: V(uml) is User Mode Linux, a kernel that runs as an ordinary process, nearly as fast as the controller; V(qemu) emulates a whole
machine with Debian's own kernel, many times slower. Neither needs KVM. Both need root for their network interface, which is a port of the
lab's bridge, so the machine reaches what the lab's containers reach.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NETWORK = """[Match]
Name=vec* en* eth*
[Network]
Address={address}/24
Gateway={gateway}
# No waiting for addresses that nobody gives.
DHCP=no
IPv6AcceptRA=no
LinkLocalAddressing=no
"""
LOCAL_RESOLVER = Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")


def resolvers() -> str:
    """The controller's name servers; a resolver on the controller's loopback answers no machine, then those that it uses itself."""
    for path in LOCAL_RESOLVER:
        if path.exists():
            lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("nameserver") and "127." not in line]
            if lines:
                return "\n".join(lines) + "\n"
    return ""


class Machine:
    """A machine and what there is of it on the controller."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.disk = self.folder / "disk"
        self.console = self.folder / "console.log"
        self.saved = self.folder / "machine.json"
        self.state: dict[str, Any] = json.loads(self.saved.read_text(encoding="utf-8")) if self.saved.exists() else {}
        # 15 characters at most.
        self.interface = "vm" + hashlib.sha256(str(self.folder).encode()).hexdigest()[:10]

    def save(self) -> None:
        """Write options and process."""
        self.saved.write_text(json.dumps(self.state, indent=1) + "\n", encoding="utf-8")

    def running(self) -> bool:
        """Whether the process that this program started is alive; a process with its number that started at another time is not it."""
        # Without a time of start, it had ended before that could be read.
        return self.state.get("started") is not None and started_at(self.state["pid"]) == self.state["started"]

    def create(self, options: dict[str, Any]) -> None:
        """Copy the disk and write into it who this machine is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", options["base"], f"{self.disk}.part"], check=True)
        name = options["name"]
        texts = {
            "/etc/hostname": f"{name}\n",
            "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n",
            "/etc/resolv.conf": resolvers(),
            "/etc/systemd/network/10-lab.network": NETWORK.format(**options),
        }
        files = {f"/etc/lab/{path.name}": path for path in Path(options["settings"]).iterdir() if path.is_file()}
        files |= {f"/var/lib/lab/{path.name}": path for path in Path(options["keys"]).iterdir() if path.is_file()}
        with tempfile.TemporaryDirectory() as work:
            for index, (target, text) in enumerate(texts.items()):
                files[target] = Path(work, str(index))
                files[target].write_text(text, encoding="utf-8")
            commands = "".join(f"cd {Path(target).parent}\nwrite {source} {Path(target).name}\n" for target, source in files.items())
            done = subprocess.run(["debugfs", "-w", "-f", "-", f"{self.disk}.part"], input=commands, text=True, capture_output=True, check=True)
        # It reports errors but ends with 0. The first line is its version.
        errors = [line for line in done.stderr.splitlines()[1:] if line.strip()]
        if errors:
            sys.exit(f"debugfs: {errors}")
        os.rename(f"{self.disk}.part", self.disk)

    def connect(self) -> None:
        """A port of the lab's bridge for this machine."""
        if not Path("/sys/class/net", self.interface).exists():
            subprocess.run(["ip", "tuntap", "add", "dev", self.interface, "mode", "tap"], check=True)
        subprocess.run(["ip", "link", "set", self.interface, "master", self.state["bridge"], "up"], check=True)

    def command(self) -> list[str]:
        """The process that is the machine."""
        memory, base = self.state["memory"], self.state["base"].removesuffix(".ext4")
        if self.state["kind"] == "uml":
            return [
                "linux.uml", f"mem={memory}M", f"ubd0={self.disk}", "root=/dev/ubda", "rw", f"vec0:transport=tap,ifname={self.interface},depth=128,gro=1",
                f"uml_dir={self.folder}/", "umid=uml", "con=null", "con0=null,fd:1", "console=tty0",
                # It ends at a reboot. It would replace itself otherwise, and could not open its network interface, which it still has open.
                "noreboot",
            ]  # fmt: skip
        # icount: the machine's clock counts its instructions. With the controller's clock the kernel's own limits (the test of its timer, ACPI's
        # loops, the wait for a disk) expire on a controller whose CPUs are busy. It emulates one CPU at a time.
        return [
            "qemu-system-x86_64", "-machine", "pc", "-nodefaults", "-accel", "tcg", "-icount", "shift=3", "-cpu", "max", "-m", str(memory),
            "-kernel", f"{base}.vmlinuz", "-initrd", f"{base}.initrd", "-append", "root=LABEL=lab-root rw console=ttyS0 no_timer_check nowatchdog",
            "-drive", f"file={self.disk},format=raw,if=virtio", "-netdev", f"tap,id=lab,ifname={self.interface},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=lab,mac={self.mac()}", "-device", "virtio-rng-pci", "-display", "none", "-serial", "stdio", "-monitor", "none",
        ]  # fmt: skip

    def mac(self) -> str:
        """An address of its own, of the range for virtual machines."""
        return "52:54:00:" + ":".join(f"{part:02x}" for part in hashlib.sha256(str(self.folder).encode()).digest()[:3])

    def start(self, options: dict[str, Any]) -> bool:
        """Start the machine, created first if there is none. Whether anything had to be done."""
        if self.running():
            return False
        if not self.disk.exists():
            self.create(options)
        # Options of this start win over those of the one before.
        self.state.update({key: value for key, value in options.items() if value is not None})
        self.save()
        self.connect()
        with self.console.open("ab") as console:
            # A group of its own: User Mode Linux has a process for each of its machine's, and all of them go with the power.
            process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        self.state.update(pid=process.pid, started=started_at(process.pid))
        self.save()
        time.sleep(1)
        if process.poll() is not None:
            sys.exit(f"{self.command()[0]} ended at once:\n" + self.console.read_text(encoding="utf-8", errors="replace")[-2000:])
        return True

    def cut(self) -> bool:
        """Take the power away. Whether there was any."""
        if not self.running():
            return False
        group = self.state["pid"]
        with contextlib.suppress(ProcessLookupError):  # It ended by itself meanwhile.
            os.killpg(group, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while alive_in(group):
            if time.monotonic() > deadline:
                sys.exit(f"processes of group {group} do not end")
            time.sleep(0.05)
        return True

    def remove(self) -> bool:
        """Leave nothing of it. Whether there was anything."""
        self.cut()
        there = self.folder.exists()
        if Path("/sys/class/net", self.interface).exists():
            subprocess.run(["ip", "link", "delete", self.interface], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        return there


def started_at(pid: int) -> str | None:
    """When a process started, in ticks since the controller's boot; V(None) for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def alive_in(group: int) -> list[int]:
    """Processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Start, cut off and remove a virtual machine of the lab.")
    parser.add_argument("action", choices=["start", "cut", "remove", "status"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", help="host name")
    parser.add_argument("--kind", choices=["uml", "qemu"])
    parser.add_argument("--base", help="the disk to start from, from build.sh")
    parser.add_argument("--memory", type=int, help="MiB")
    parser.add_argument("--address", help="IPv4 address in the lab's /24")
    parser.add_argument("--gateway")
    parser.add_argument("--bridge", help="the bridge of the lab's network")
    parser.add_argument("--settings", help="folder whose files go to /etc/lab")
    parser.add_argument("--keys", help="folder whose files go to /var/lib/lab")
    options = vars(parser.parse_args())
    action, machine = options.pop("action"), Machine(options.pop("folder"))
    if action == "status":
        print("running" if machine.running() else "off")
    elif machine.start(options) if action == "start" else machine.cut() if action == "cut" else machine.remove():
        print({"start": "started", "cut": "cut off", "remove": "removed"}[action], machine.folder)


if __name__ == "__main__":
    main()
