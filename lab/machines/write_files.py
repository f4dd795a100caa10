#!/usr/bin/env python3
# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the files for each machine of the lab: write_files.py OUT NAME < machines.json

The JSON has these keys by host name: ``addresses`` (IP addresses), ``ports`` (ports of SSH), ``gpus`` (lists of name, memory_mib
and compute_cap, or the number of GPUs of the default kind) and ``shared`` (whether the machine uses the controller's network).

    OUT/labs/NAME/HOST/gpus        GPUs that nvidia-smi reports on the machine; its folder is mounted there at /etc/lab
    OUT/labs/NAME/HOST/sshd.conf   ports and address of its sshd
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
    """Write a file if its contents differ, and print its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")


def gpu_lines(gpus: int | list[dict[str, Any]]) -> str:
    """One GPU per line, in the format that the lab's nvidia-smi reads."""
    if isinstance(gpus, int):
        gpus = gpus * [USUAL]
    return "".join(f"{gpu['name']}\t{gpu['memory_mib']}\t{gpu['compute_cap']}\n" for gpu in gpus)


def sshd_settings(address: str, port: int, shared: bool) -> str:
    """The address and port of sshd. In the controller's network sshd listens only on the machine's own address, so that no other host reaches it."""
    return f"Port {port}\n" + (f"ListenAddress {address}\n" if shared else "")


def main() -> None:
    """Write the files of all machines."""
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
