# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The roles with --check on hosts where nothing was ever set: they ran through, and changed nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab import ENVIRONMENT, ROOT
from reach import FIRST, KERNEL, SECOND
from testinfra.host import Host

TUNED = [FIRST, SECOND, KERNEL]


@pytest.mark.parametrize("name", TUNED)
def test_no_file_was_made(machine: Callable[[str], Host], name: str) -> None:
    """Neither for the kernel nor for the firewall."""
    found = machine(name).check_output(
        "find /etc/sysctl.d /etc/modules-load.d /etc/modprobe.d /etc/tmpfiles.d /etc/security /etc/systemd /etc/ufw /var/backups /var/lib -iname '*inferops*'"
        " 2>/dev/null || true"
    )
    assert found == ""


@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_no_firewall_was_installed(machine: Callable[[str], Host], name: str) -> None:
    """Nor anything in the kernel that one would have left."""
    host = machine(name)
    assert not host.package("ufw").is_installed
    assert not host.exists("ufw")


@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_a_machines_values_are_the_kernels_own(machine: Callable[[str], Host], name: str) -> None:
    """As in any new network namespace."""
    values = machine(name).check_output("sysctl -n net.core.somaxconn net.netfilter.nf_conntrack_tcp_timeout_established").split()
    assert values == ["4096", "432000"]


def test_controllers_values_are_what_they_were(own_kernel: Host) -> None:
    """All that were remembered before the machine came."""
    saved = ROOT / ".lab" / "labs" / ENVIRONMENT["LAB_NAME"] / KERNEL / "kernel"
    before = dict(line.partition(" ")[::2] for line in saved.read_text(encoding="utf-8").splitlines()[1:])
    keys = ["nf_conntrack_max", "netfilter/nf_conntrack_buckets", "netfilter/nf_conntrack_tcp_timeout_established", "core/somaxconn"]
    now = {key: own_kernel.check_output("cat /proc/sys/net/%s", key) for key in keys}
    assert now == {key: before[key] for key in keys}
