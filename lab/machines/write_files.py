#!/usr/bin/env python3
# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write what belongs to single machines of the lab: write_files.py OUT NAME < machines.json

The JSON has, by host name, ``addresses`` (IP addresses) and ``gpus`` (lists of name, memory_mib and
compute_cap, or only how many of the usual kind).

    OUT/labs/NAME/HOST/gpus    what nvidia-smi answers on the machine; its folder is mounted there at /etc/lab
    OUT/ssh/config-NAME        for plain ssh: ssh -F OUT/ssh/config-NAME HOST
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


def main() -> None:
    """Write all of them."""
    parser = argparse.ArgumentParser(description="Write what belongs to single machines of the lab.")
    parser.add_argument("out", type=Path, help="the lab's folder")
    parser.add_argument("name", help="the lab's name")
    arguments = parser.parse_args()
    machines = json.load(sys.stdin)
    for host, gpus in machines["gpus"].items():
        write(arguments.out / "labs" / arguments.name / host / "gpus", gpu_lines(gpus))
    ssh = arguments.out.resolve() / "ssh"
    hosts = "".join(HOST.format(name=name, address=address) for name, address in machines["addresses"].items())
    write(ssh / f"config-{arguments.name}", f"# ssh -F {ssh}/config-{arguments.name} HOST\n{hosts}{ALL_HOSTS.format(ssh=ssh)}")


if __name__ == "__main__":
    main()
