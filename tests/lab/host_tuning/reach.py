# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the machines are and what of them can be reached from where, by real connections."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import ENVIRONMENT, ROOT, SSH_CONFIG, wait_until

NETWORK = ENVIRONMENT["LAB_NETWORK"]
NETWORK6 = f"fd00:{NETWORK.replace('.', ':')}"
CONTROLLER = f"{NETWORK}.1"
FIRST, SECOND, STRANGER, KERNEL = "tune-debian12", "tune-debian13", "tune-stranger", "tune-kernel"
ADDRESS = {FIRST: f"{NETWORK}.21", SECOND: f"{NETWORK}.22", STRANGER: f"{NETWORK}.23"}
ADDRESS6 = {name: f"{NETWORK6}::{address.rpartition('.')[2]}" for name, address in ADDRESS.items()}
SSH_PORT = {FIRST: 22, SECOND: 2222}

# What listens on the machines beside sshd, see the inventory.
ALONE, PAIR = 8001, 8002
OTHERS = {6379, 8265, 10001, 45678}
LISTENING = {FIRST: {22, ALONE, PAIR, *OTHERS}, SECOND: {2222, ALONE, PAIR, *OTHERS}}
EVERY = 65535


@dataclass
class Answers:
    """What became of a connection to each port: see scan.py."""

    open: set[int]
    refused: set[int]
    rejected: set[int]
    silent: set[int]


def container(name: str) -> str:
    """Name of a machine's container."""
    return f"{ENVIRONMENT['LAB_NAME']}-{name}"


def docker(*words: str) -> str:
    """What the engine says."""
    return subprocess.run(["docker", *words], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def scan(source: str, target: str, ports: str = f"1-{EVERY}", ipv6: bool = False) -> Answers:
    """Tries ports of one machine from another. The target must be up: a machine that is off has no open port either."""
    assert docker("inspect", "--format", "{{.State.Running}}", container(target)) == "true"
    address = (ADDRESS6 if ipv6 else ADDRESS)[target]
    program = (Path(__file__).parent / "scan.py").read_text(encoding="utf-8")
    done = subprocess.run(
        ["ssh", "-F", SSH_CONFIG, source, "python3", "-", address, ports], input=program, text=True, stdout=subprocess.PIPE, check=True, timeout=120,
    )
    return Answers(**{answer: set(found) for answer, found in json.loads(done.stdout).items()})


def can_log_in(name: str, seconds: int = 5) -> bool:
    """Whether the controller gets in on a connection of its own: one that is kept open says nothing about that."""
    command = ["ssh", "-F", SSH_CONFIG, "-o", "ControlPath=none", "-o", f"ConnectTimeout={seconds}", name, "true"]
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def on(name: str, command: str) -> str:
    """Runs a command as root in a machine through the engine, past any firewall."""
    return docker("exec", container(name), "sh", "-c", command)


def conntrack(name: str) -> dict[str, Any]:
    """How full a machine's table of connections is and what was lost, as the collection's own facts tell it."""
    said = subprocess.run(
        ["ansible", "-i", str(ROOT / "molecule" / "host_tuning" / "inventory"), name, "--become", "-m", "inferops.gpu.host_facts"],
        cwd=ROOT, env={**ENVIRONMENT, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true"},
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    found: dict[str, Any] = json.loads(said)["plays"][0]["tasks"][0]["hosts"][name]["host"]["conntrack"]
    return found


def restart(*names: str) -> None:
    """Restarts machines, and waits until systemd has started everything again."""
    docker("restart", "--time", "20", *(container(name) for name in names))

    def has_booted(name: str) -> bool:
        # Its status is another for every state, and it fails until systemd can be asked.
        return on(name, "systemctl is-system-running --wait 2>/dev/null || true") in ("running", "degraded")

    for name in names:
        wait_until(lambda name=name: has_booted(name), 60, f"{name} has booted")
