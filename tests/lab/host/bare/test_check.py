# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role host with --check on a bare machine: it ran through, and changed nothing."""

from __future__ import annotations

from testinfra.host import Host


def test_nothing_was_changed(host: Host) -> None:
    """No package, no account, no directory."""
    assert not host.package("g++").is_installed and not host.package("python3-venv").is_installed
    assert not host.user("inferops").exists
    assert host.run("ls -d /etc/inferops /opt/inferops /var/lib/inferops").stdout == ""
