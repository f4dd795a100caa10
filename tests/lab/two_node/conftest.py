# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machines of molecule/two_node and the service that runs over two of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from lab import ENVIRONMENT, ROOT, SSH_CONFIG, Scenario
from testinfra.host import Host

# For the modules beside this file.
sys.path.insert(0, str(Path(__file__).parent))

from pair import Pair  # noqa: E402

INVENTORY = ROOT / "molecule" / "two_node" / "inventory"
SERVICE: dict[str, Any] = yaml.safe_load((INVENTORY / "group_vars" / "pair.yml").read_text(encoding="utf-8"))["two_node_pair"]


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The whole job, on the two hosts of the service."""
    return Scenario((INVENTORY,), "site.yml", "pair")


@pytest.fixture(scope="session")
def machine() -> Callable[[str], Host]:
    """A machine by its name, over one kept SSH connection, with root's rights."""
    return lambda name: testinfra.get_host(f"ssh://{name}", ssh_config=SSH_CONFIG, sudo=True)


@pytest.fixture(scope="session")
def pair(machine: Callable[[str], Host]) -> Pair:
    """The service and its two hosts."""
    network = ENVIRONMENT["LAB_NETWORK"]
    return Pair(machine("two-head"), machine("two-worker"), SERVICE, f"http://{network}.31:{SERVICE['port']}", ENVIRONMENT["LAB_NAME"])


@pytest.fixture(scope="session")
def stranger(machine: Callable[[str], Host]) -> Host:
    """A machine that has nothing to do with the service."""
    return machine("two-stranger")
