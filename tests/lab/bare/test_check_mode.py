# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`site.yml --check` on a host where nothing was ever installed: it ran through, and left nothing behind."""

from __future__ import annotations

import pytest
from testinfra.host import Host


@pytest.mark.parametrize("path", ["/etc/inferops", "/opt/inferops", "/var/lib/inferops"])
def test_no_directory_was_made(host: Host, path: str) -> None:
    """None of the collection's directories."""
    assert not host.file(path).exists


def test_no_cache_was_made(host: Host) -> None:
    """None but uv's, which the lab itself keeps for its machines."""
    assert host.run("find /var/cache/inferops -mindepth 1 -maxdepth 1 -not -name uv").stdout == ""


def test_no_account_was_made(host: Host) -> None:
    """The service account is still to come."""
    assert not host.user("inferops").exists


def test_no_unit_was_made(host: Host) -> None:
    """No service, download or build."""
    assert host.run("systemctl list-unit-files --no-legend 'vllm-*' 'inferops-*'").stdout == ""
