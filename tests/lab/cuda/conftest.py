# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine of molecule/cuda, its release, and plays on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import testinfra
from lab import ROOT, SSH_CONFIG, Play, Scenario
from testinfra.host import Host

NAME = "lab-cuda1"


@pytest.fixture(scope="session")
def host() -> Host:
    """The machine, with root's rights."""
    return testinfra.get_host(f"ssh://{NAME}", ssh_config=SSH_CONFIG, sudo=True)


@pytest.fixture(scope="session")
def release(host: Host) -> str:
    """Path of the release that stands."""
    return host.check_output("ls -d /opt/inferops/releases/vllm-*")


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The roles up to the release, on a machine that serves nothing."""
    return Scenario((ROOT / "molecule" / "cuda" / "inventory",), "molecule/cuda/converge.yml", "all")


@pytest.fixture(scope="session")
def converge(play: Callable[..., Play]) -> Callable[..., Play]:
    """Runs the scenario's playbook to its end and returns how it went."""
    return lambda variables=None: play(variables=variables)
