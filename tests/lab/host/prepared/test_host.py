# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role host has made of a bare machine; and what it makes of one that is broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab import Play
from testinfra.host import Host

TOKEN = "lab-index-password-7f3a"


@pytest.mark.parametrize("name", ["ca-certificates", "curl", "g++", "libnuma1", "python3-dev", "python3-venv"])
def test_packages(host: Host, name: str) -> None:
    """Installed, and configured."""
    assert host.package(name).is_installed


def test_account(host: Host) -> None:
    """Without a shell and without a password; its home is where weights go."""
    user = host.user("inferops")
    assert (user.shell, user.home, user.password in ("!", "!!", "*", "!*")) == ("/usr/sbin/nologin", "/var/lib/inferops", True)


@pytest.mark.parametrize(
    ("path", "owner", "mode"),
    [
        ("/etc/inferops", "root", 0o755), ("/opt/inferops", "root", 0o755), ("/opt/inferops/lib", "root", 0o755), ("/var/lib/inferops", "root", 0o755),
        ("/var/lib/inferops/models", "inferops", 0o755), ("/var/lib/inferops/jobs", "root", 0o755),
    ],
)
def test_directories(host: Host, path: str, owner: str, mode: int) -> None:
    """Their owners and modes: nobody but root writes where programs and units are."""
    found = host.file(path)
    assert found.is_directory and (found.user, found.mode) == (owner, mode), (found.user, oct(found.mode))


def test_uv_and_library_run(host: Host) -> None:
    """uv has a version, and the host library is one archive that Python runs."""
    assert host.check_output("/opt/inferops/bin/uv --version").startswith("uv ")
    assert host.file("/opt/inferops/lib/current").is_symlink
    assert "the command to supervise is missing" in host.run("python3 /opt/inferops/lib/current supervisor").stderr


def test_what_is_broken_is_mended(host: Host, play: Callable[..., Play]) -> None:
    """A package that is only unpacked, a directory that is open to all, a link that is gone and half a uv."""
    host.run_expect(
        [0],
        "chmod 0777 /opt/inferops && rm /opt/inferops/lib/current && rm -r /opt/inferops/tools/* && "
        "apt-get remove --yes libnuma1 >/dev/null && cd /tmp && dpkg --unpack /var/cache/lab-apt/libnuma1_*.deb",
    )
    assert not host.package("libnuma1").is_installed
    done = play()
    assert done.status == 0, done.output
    assert host.package("libnuma1").is_installed
    assert host.file("/opt/inferops").mode == 0o755
    test_uv_and_library_run(host)
    again = play()
    assert again.recap["lab-gpu1"]["changed"] == 0, again.output


def test_credentials_are_roots_alone(host: Host, play: Callable[..., Play]) -> None:
    """In one file, and neither in the run's output nor elsewhere on the host; gone when the inventory has none any more."""
    done = play("--diff", "-v", variables={"host_index_credentials": {"pypi.lab.example": {"user": "ci", "password": TOKEN}}})
    assert done.status == 0, done.output
    file = host.file("/etc/inferops/netrc")
    assert (file.user, file.mode) == ("root", 0o600) and TOKEN in file.content_string
    assert TOKEN not in done.output
    # In brackets, so that what sudo writes of this very command is not found.
    found = host.run(f"grep -rl '{TOKEN[:-1]}[{TOKEN[-1]}]' /etc /opt /var/lib/inferops /var/log 2>/dev/null").stdout.split()
    assert found == ["/etc/inferops/netrc"], found
    done = play()
    assert done.status == 0 and not file.exists, done.output
