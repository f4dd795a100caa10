# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the tests in the lab share: where things are, plays run as a person runs them, units as systemd sees them."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[2]
GROUP = "qwen235b"
ENVIRONMENT = {
    **os.environ,
    # Also where only pytest itself was called by its path.
    "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
    "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_INJECT_FACT_VARS": "false",
    "LAB_DIR": str(ROOT / ".lab"),
    "LAB_NAME": os.environ.get("LAB_NAME", "inferops-test"),
    "LAB_NETWORK": os.environ.get("LAB_NETWORK", "172.29.236"),
}
# Written by lab_up: how to reach the lab's machines with plain ssh.
SSH_CONFIG = str(ROOT / ".lab" / "ssh" / f"config-{ENVIRONMENT['LAB_NAME']}")
MIRROR = f"http://{ENVIRONMENT['LAB_NETWORK']}.10:8080"


@dataclass(frozen=True)
class Scenario:
    """What the tests of a scenario play: O(playbook), with O(inventories), for the hosts of O(group); a later inventory goes over an earlier one.

    A run may take O(seconds).
    """

    inventories: tuple[Path, ...]
    playbook: str
    group: str
    seconds: float = 1200

    def inventory_arguments(self) -> list[str]:
        """The inventories as arguments of Ansible's commands."""
        return [argument for path in self.inventories for argument in ("-i", str(path))]

    def command(self, *arguments: str, variables: dict[str, Any] | None = None) -> list[str]:
        """The command line of ansible-playbook; O(variables) go in as JSON."""
        extra = ["-e", json.dumps(variables)] if variables else []
        return ["ansible-playbook", *self.inventory_arguments(), self.playbook, "-l", self.group, *arguments, *extra]


def over_the_lab(name: str) -> Scenario:
    """site.yml with the inventory of a scenario over that of the lab."""
    return Scenario((ROOT / "inventories" / "lab", ROOT / "molecule" / name / "inventory"), "site.yml", GROUP)


def role_alone(name: str) -> Scenario:
    """The scenario of a single role on one machine of the lab."""
    return Scenario((ROOT / "inventories" / "lab", ROOT / "molecule" / name / "inventory"), f"molecule/{name}/converge.yml", GROUP)


# site.yml on one machine of the lab, whose engine is the small one: molecule/vllm, model_service and verify.
WITH_SMALL_ENGINE = Scenario((ROOT / "inventories" / "lab", ROOT / "lab" / "small_engine" / "inventory"), "site.yml", GROUP)

# molecule/default.
SERVED = over_the_lab("default")


def wait_until(met: Callable[[], Any], seconds: float, what: str, every: float = 0.5, slower: bool = True) -> Any:
    """Polls until O(met) returns something true, and returns that; fails the test after O(seconds).

    O(every) is the seconds between two looks at first; with O(slower), what has taken long is looked at less often. Most looks are a command over SSH,
    and the machine that waits computes for the others.
    """
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        value = met()
        if value:
            return value
        time.sleep(max(every, min(2.0, (time.monotonic() - began) / 20)) if slower else every)
    pytest.fail(f"not within {seconds:.0f} s: {what}")


@dataclass
class Play:
    """A finished run of ansible-playbook. O(seconds) is wall-clock time."""

    status: int
    output: str
    seconds: float

    @property
    def said(self) -> str:
        """The output on one line, without the line breaks that it has for readers."""
        return " ".join(self.output.split())

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Counts of the recap by host, for example V({"lab-gpu1": {"ok": 9, "changed": 0, ...}})."""
        lines = self.output.rpartition("PLAY RECAP")[2].splitlines()[1:]
        split = [line.partition(" : ") for line in lines if " : ok=" in line]
        return {
            host.strip(): {name: int(count) for name, count in (pair.split("=") for pair in counts.split())}
            for host, _colon, counts in split
        }


@dataclass
class Unit:
    """A systemd unit on a host."""

    host: Host
    name: str

    def show(self, name: str) -> str:
        """One effective property, for example V(LimitNOFILE)."""
        return self.host.check_output("systemctl show --value --property=%s %s", name, self.name)

    @property
    def main_pid(self) -> str:
        """Process id of the main process, V(0) when there is none."""
        return self.show("MainPID")

    def processes(self) -> list[tuple[int, str]]:
        """Process id and user of every process in the unit's control group."""
        # systemd-cgls knows where the groups are under both versions of control groups; a process is "PID command" after the lines.
        tree = self.host.check_output("systemd-cgls --no-pager --full --unit %s", self.name)
        pids = re.findall(r"[├└]─\s*(\d+) ", tree)
        table = self.host.check_output("ps -o pid=,user:32= -p %s", ",".join(pids))
        return [(int(pid), user) for pid, user in (line.split() for line in table.splitlines())]

    def journal(self, lines: int = 40) -> str:
        """The last lines of the unit's journal, for a failed assertion to show."""
        return self.host.run("journalctl --no-pager --lines=%s --unit=%s", str(lines), self.name).stdout
