# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel has in force: in machines with a network of their own, and in the controller's own kernel, which one machine shares."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from lab import Play
from reach import FIRST, KERNEL, SECOND, conntrack, restart
from testinfra.host import Host

EVERYWHERE = {
    "net.netfilter.nf_conntrack_tcp_timeout_established": "600",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait": "30",
    "net.core.somaxconn": "65535",
    "net.ipv4.tcp_max_syn_backlog": "65535",
}
# One table for all network namespaces, and only the first of them may change it.
TABLE = {"net.netfilter.nf_conntrack_max": "1048576", "net.netfilter.nf_conntrack_buckets": "1048576"}
FILE = "/etc/sysctl.d/90-inferops.conf"


def in_force(host: Host, wanted: dict[str, str]) -> dict[str, str]:
    """The kernel's word on the same keys."""
    return dict(zip(wanted, host.check_output("sysctl -n %s" % " ".join(wanted)).split(), strict=True))


@pytest.mark.parametrize("name", [FIRST, SECOND, KERNEL])
def test_values_in_force(machine: Callable[[str], Host], name: str) -> None:
    """Those that every machine can set."""
    assert in_force(machine(name), EVERYWHERE) == EVERYWHERE


def test_table_of_the_controllers_kernel(own_kernel: Host) -> None:
    """The table has room for a million connections, and the buckets to find them."""
    assert in_force(own_kernel, TABLE) == TABLE


def test_second_run_changes_nothing(play: Callable[..., Play]) -> None:
    """Not on any of the machines."""
    done = play()
    assert done.status == 0, done.output
    assert {name: counts["changed"] for name, counts in done.recap.items()} == dict.fromkeys([FIRST, SECOND, KERNEL], 0), done.output


def test_what_a_container_cannot_set_is_named_and_kept(debian12: Host, own_kernel: Host, play: Callable[..., Play]) -> None:
    """By its key, without failing the run; and kept for the next boot, which may be that of a machine."""
    own_kernel.check_output("sysctl -w net.netfilter.nf_conntrack_max=262144")
    done = play("--limit", "tuned", variables={"kernel_swappiness": 7})
    assert done.status == 0, done.output
    said = done.said
    for key, value in {"net.netfilter.nf_conntrack_max": "1048576", "vm.swappiness": "7"}.items():
        assert re.search(rf"Not set: [^:]*{re.escape(key)} \(wanted {value}, in force \d+\)", said), done.output
        assert f"{key} = {value}" in debian12.file(FILE).content_string.splitlines()


def test_value_that_was_changed_by_hand_is_put_back(own_kernel: Host, play: Callable[..., Play]) -> None:
    """What counts is the kernel's word, not the file's."""
    assert own_kernel.check_output("sysctl -n net.netfilter.nf_conntrack_max") == "262144"
    done = play("--limit", KERNEL)
    assert done.status == 0, done.output
    assert done.recap[KERNEL]["changed"] == 1, done.output
    assert in_force(own_kernel, TABLE) == TABLE


def test_facts_tell_of_the_table() -> None:
    """How full it is, and what did not fit."""
    found = conntrack(KERNEL)
    assert found["max"] == found["buckets"] == 1048576
    assert 0 < found["count"] < found["max"]
    assert all(isinstance(found[loss], int) for loss in ("drop", "early_drop", "insert_failed"))


def test_module_comes_before_its_parameters(own_kernel: Host) -> None:
    """At boot nf_conntrack is loaded by a unit that the one which sets parameters waits for."""
    modules = own_kernel.check_output("systemd-analyze cat-config modules-load.d")
    assert "nf_conntrack" in modules.splitlines()
    after = own_kernel.check_output("systemctl show --value --property=After systemd-sysctl.service").split()
    assert "systemd-modules-load.service" in after


def test_boot_brings_it_back(machine: Callable[[str], Host], own_kernel: Host) -> None:
    """A machine's own namespace is new after a restart. The controller's is not: its values are spoilt first."""
    own_kernel.check_output("sysctl -w net.netfilter.nf_conntrack_max=262144 net.netfilter.nf_conntrack_buckets=65536 net.core.somaxconn=4096")
    restart(FIRST, SECOND, KERNEL)
    for name in (FIRST, SECOND):
        assert in_force(machine(name), EVERYWHERE) == EVERYWHERE
    assert in_force(own_kernel, {**EVERYWHERE, **TABLE}) == {**EVERYWHERE, **TABLE}
    assert own_kernel.check_output("systemctl is-failed systemd-sysctl.service || true") == "active"
