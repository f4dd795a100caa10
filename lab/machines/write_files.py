#!/usr/bin/env python3
# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write what belongs to single machines of the lab: write_files.py OUT NAME < machines.json

The JSON has, by host name, ``addresses`` (IP addresses), ``ports`` (those of SSH), ``gpus`` (lists of name, memory_mib and
compute_cap, or only how many of the usual kind) and ``shared`` (whether the machine has the controller's network and not its own).

    OUT/labs/NAME/HOST/gpus        what nvidia-smi answers on the machine; its folder is mounted there at /etc/lab
    OUT/labs/NAME/HOST/sshd.conf   where its sshd listens
    OUT/ssh/config-NAME            for plain ssh: ssh -F OUT/ssh/config-NAME HOST
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

USUAL = {"name": "NVIDIA H100 80GB HBM3", "memory_mib": 81559, "compute_cap": "9.0"}
HOST = """
Host {name}
    HostName {address}
    Port {port}
"""
ALL_HOSTS = """
Host *
    User ops
    IdentityFile {ssh}/id_ed25519
    IdentitiesOnly yes
    UserKnownHostsFile {ssh}/known_hosts
    HostKeyAlias inferops-lab
    StrictHostKeyChecking yes
    LogLevel ERROR
"""


def write(path: Path, text: str) -> None:
    """Write a file unless it says that already; tells when it did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")


def gpu_lines(gpus: int | list[dict[str, Any]]) -> str:
    """One GPU a line, as the stand-in for nvidia-smi reads it."""
    if isinstance(gpus, int):
        gpus = gpus * [USUAL]
    return "".join(f"{gpu['name']}\t{gpu['memory_mib']}\t{gpu['compute_cap']}\n" for gpu in gpus)


def sshd_settings(address: str, port: int, shared: bool) -> str:
    """Where sshd listens: in the controller's network only at the machine's own address, so that nobody else reaches it."""
    return f"Port {port}\n" + (f"ListenAddress {address}\n" if shared else "")


def main() -> None:
    """Write all of them."""
    parser = argparse.ArgumentParser(description="Write what belongs to single machines of the lab.")
    parser.add_argument("out", type=Path, help="the lab's folder")
    parser.add_argument("name", help="the lab's name")
    arguments = parser.parse_args()
    machines = json.load(sys.stdin)
    ports = machines["ports"]
    for host, address in machines["addresses"].items():
        folder = arguments.out / "labs" / arguments.name / host
        write(folder / "gpus", gpu_lines(machines["gpus"][host]))
        write(folder / "sshd.conf", sshd_settings(address, ports[host], machines["shared"][host]))
    ssh = arguments.out.resolve() / "ssh"
    hosts = "".join(HOST.format(name=name, address=address, port=ports[name]) for name, address in machines["addresses"].items())
    write(ssh / f"config-{arguments.name}", f"# ssh -F {ssh}/config-{arguments.name} HOST\n{hosts}{ALL_HOSTS.format(ssh=ssh)}")


if __name__ == "__main__":
    main()
