# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kernel parameters of one machine with a network of its own: what is in force, and what an administrator adds or changes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from lab import ENVIRONMENT, Play, wait_until
from testinfra.host import Host

FILE = "/etc/sysctl.d/90-inferops.conf"
LIMITS = "/etc/security/limits.d/90-inferops.conf"
IN_FORCE = {
    "net.netfilter.nf_conntrack_tcp_timeout_established": "600",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait": "30",
    "net.core.somaxconn": "65535",
    "net.ipv4.tcp_max_syn_backlog": "65535",
}


def in_force(host: Host) -> dict[str, str]:
    """The kernel's word on the role's parameters."""
    return dict(zip(IN_FORCE, host.check_output("sysctl -n %s" % " ".join(IN_FORCE)).split(), strict=True))


def test_in_force_and_in_the_file(host: Host) -> None:
    """Now, and at the next boot."""
    assert in_force(host) == IN_FORCE
    lines = host.file(FILE).content_string.splitlines()
    assert [f"{key} = {value}" for key, value in IN_FORCE.items() if f"{key} = {value}" not in lines] == []


def test_module_comes_before_its_parameters(host: Host) -> None:
    """At boot nf_conntrack is loaded by a unit that the one which sets parameters waits for."""
    assert "nf_conntrack" in host.check_output("systemd-analyze cat-config modules-load.d").splitlines()
    assert "systemd-modules-load.service" in host.check_output("systemctl show --value --property=After systemd-sysctl.service").split()


def test_value_that_was_changed_by_hand_is_put_back(host: Host, play: Callable[..., Play]) -> None:
    """What counts is the kernel's word, not the file's."""
    host.check_output("sysctl -w net.core.somaxconn=128")
    checked = play("--check")
    assert checked.recap["lab-gpu1"]["changed"] == 1 and in_force(host) != IN_FORCE, checked.output
    done = play()
    assert done.recap["lab-gpu1"]["changed"] == 1, done.output
    assert in_force(host) == IN_FORCE


def test_file_that_wins_is_named(host: Host, play: Callable[..., Play]) -> None:
    """Somebody's own file that sets another value after ours: left as it is, and said."""
    other = "/etc/sysctl.d/99-theirs.conf"
    host.check_output("echo net.core.somaxconn = 128 > %s", other)
    try:
        done = play()
        assert done.status == 0, done.output
        said = done.said
        assert other in said and "net.core.somaxconn" in said, done.output
        assert host.file(other).content_string == "net.core.somaxconn = 128\n"
    finally:
        host.check_output("rm %s", other)


def test_additions_win_and_go(host: Host, play: Callable[..., Play]) -> None:
    """The user's own parameters override the role's; without them the role's are back."""
    key = "net.netfilter.nf_conntrack_tcp_timeout_established"
    done = play(variables={"kernel_sysctl": {key: 1200, "net.ipv4.tcp_fin_timeout": 20}})
    assert done.status == 0, done.output
    assert host.check_output("sysctl -n %s net.ipv4.tcp_fin_timeout", key).split() == ["1200", "20"]
    done = play()
    assert done.status == 0, done.output
    assert host.check_output("sysctl -n %s", key) == "600"
    assert "tcp_fin_timeout" not in host.file(FILE).content_string


def test_file_that_holds_nothing_any_more_goes(host: Host, play: Callable[..., Play]) -> None:
    """Users who may pin memory; without them the file of limits is away."""
    done = play(variables={"kernel_memlock_users": ["nobody"]})
    assert done.status == 0 and "nobody - memlock unlimited" in host.file(LIMITS).content_string, done.output
    done = play()
    assert done.recap["lab-gpu1"]["changed"] == 1, done.output
    assert not host.file(LIMITS).exists


def test_boot_brings_it_back(host: Host) -> None:
    """The machine's network namespace is new after a restart."""
    subprocess.run(["docker", "restart", "--time", "20", f"{ENVIRONMENT['LAB_NAME']}-lab-gpu1"], check=True, stdout=subprocess.DEVNULL)

    def has_booted() -> bool:
        try:
            return host.run("systemctl is-system-running --wait").stdout.strip() in ("running", "degraded")
        except RuntimeError:
            # SSH does not answer yet.
            return False

    wait_until(has_booted, 60, "the machine has booted")
    assert in_force(host) == IN_FORCE
