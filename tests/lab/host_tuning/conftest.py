# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machines of molecule/host_tuning."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import testinfra
from lab import ROOT, SSH_CONFIG, Scenario
from testinfra.host import Host

# For the modules beside this file.
sys.path.insert(0, str(Path(__file__).parent))

INVENTORY = ROOT / "molecule" / "host_tuning" / "inventory"


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The roles on machines that serve nothing."""
    return Scenario((INVENTORY,), "molecule/host_tuning/converge.yml", "tuned:kernel_only")


@pytest.fixture(scope="session")
def machine() -> Callable[[str], Host]:
    """A machine by its name, over one kept SSH connection, with root's rights."""
    return lambda name: testinfra.get_host(f"ssh://{name}", ssh_config=SSH_CONFIG, sudo=True)


@pytest.fixture(scope="session")
def debian12(machine: Callable[[str], Host]) -> Host:
    """The head of the pair; serves another model by itself."""
    return machine("tune-debian12")


@pytest.fixture(scope="session")
def debian13(machine: Callable[[str], Host]) -> Host:
    """The other half of the pair; its sshd listens on port 2222."""
    return machine("tune-debian13")


@pytest.fixture(scope="session")
def own_kernel(machine: Callable[[str], Host]) -> Host:
    """The machine that has the controller's network."""
    return machine("tune-kernel")


@pytest.fixture(scope="session")
def stranger(machine: Callable[[str], Host]) -> Host:
    """A machine that has nothing to do with the others."""
    return machine("tune-stranger")
