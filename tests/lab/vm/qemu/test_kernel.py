# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real modules, parameters and rules, and when they are there: before sshd and before anything that a service could serve."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from virtual import Machine

# A port that no rule opens, and the one of the service.
CLOSED, SERVED = 9999, 8001
# Listens on both as early as a unit with a network can.
LISTENER = f"""[Unit]
After=network.target
[Service]
ExecStart=/usr/bin/python3 -m http.server {CLOSED}
[Install]
WantedBy=multi-user.target
"""
VALUES = {
    "net.netfilter.nf_conntrack_max": "1048576",
    "net.netfilter.nf_conntrack_buckets": "1048576",
    "net.netfilter.nf_conntrack_tcp_timeout_established": "600",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait": "30",
    "net.core.somaxconn": "65535",
    "net.ipv4.tcp_max_syn_backlog": "65535",
}


@contextmanager
def watched(machine: Machine, port: int) -> Iterator[list[float]]:
    """Tries a port five times a second meanwhile; when it accepted a connection."""
    opened: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            if machine.listens(port):
                opened.append(time.monotonic())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield opened
    finally:
        done.set()
        thread.join()


def check_in_force(machine: Machine) -> None:
    """Parameters, modules, rules and ports."""
    assert {name: machine.output(f"/usr/sbin/sysctl -n {name}") for name in VALUES} == VALUES
    assert "nf_conntrack " in machine.output("/usr/sbin/lsmod")
    # Debian's iptables writes rules of nf_tables.
    assert "nf_tables" in machine.output("/usr/sbin/iptables --version")
    rules = machine.output("/usr/sbin/iptables-save")
    assert ":INPUT DROP" in rules and f"--dport {SERVED}" in rules, rules
    assert ":INPUT DROP" in machine.output("/usr/sbin/ip6tables-save")
    assert machine.listens(22) and not machine.listens(CLOSED)
    assert machine.output("systemctl is-system-running --wait || true") == "running", machine.output("systemctl --failed --no-pager")


def since_boot(machine: Machine, unit: str) -> int:
    """When a unit became active in this boot, in microseconds."""
    return int(machine.output(f"systemctl show --value --property=ActiveEnterTimestampMonotonic {unit}"))


def test_before(machine: Machine) -> None:
    """Debian's own kernel, with AppArmor, and nothing of this collection yet: the port is open."""
    assert "cloud-amd64" in machine.output("uname -r")
    assert machine.output("cat /sys/module/apparmor/parameters/enabled") == "Y"
    machine.output(f"cat >/etc/systemd/system/listen.service <<'END'\n{LISTENER}\nEND\nsystemctl enable --now listen")
    time.sleep(5)
    assert machine.listens(CLOSED)
    assert machine.run("/usr/sbin/sysctl -n net.netfilter.nf_conntrack_max").stdout.strip() != VALUES["net.netfilter.nf_conntrack_max"]


def test_roles(machine: Machine, play: Callable[..., Any]) -> None:
    """Both roles on a bare machine load modules, set parameters and enable the firewall."""
    done = play()
    assert done.status == 0, done.output
    check_in_force(machine)


@pytest.mark.parametrize("how", ["reboot", "power_cut"])
def test_boot(machine: Machine, how: str, measured: Callable[[str, float], None]) -> None:
    """After a boot all of it is there again, the rules before sshd; the closed port was never open meanwhile."""
    began = time.monotonic()
    with watched(machine, CLOSED) as opened:
        getattr(machine, how)()
        measured(f"{how}: SSH answers", time.monotonic() - began)
        check_in_force(machine)
    assert opened == [], "a port was open during the boot"
    assert since_boot(machine, "ufw.service") < since_boot(machine, "ssh.service")
    assert since_boot(machine, "ufw.service") < since_boot(machine, "listen.service")
    assert since_boot(machine, "systemd-modules-load.service") < since_boot(machine, "systemd-sysctl.service") < since_boot(machine, "ssh.service")


def test_second_run(play: Callable[..., Any]) -> None:
    """A run after the boots finds nothing to do."""
    done = play()
    assert [counts["changed"] for counts in done.recap.values()] == [0], done.output
