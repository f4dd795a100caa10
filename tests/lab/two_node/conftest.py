# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machines of molecule/two_node and the service that runs over two of them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from lab import ENVIRONMENT, ROOT, Scenario
from pair import Pair, machine
from testinfra.host import Host

INVENTORY = ROOT / "molecule" / "two_node" / "inventory"
SERVICE: dict[str, Any] = yaml.safe_load((INVENTORY / "group_vars" / "pair.yml").read_text(encoding="utf-8"))["two_node_pair"]


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The whole job, on the two hosts of the service."""
    return Scenario((INVENTORY,), "site.yml", "pair")


@pytest.fixture(scope="session")
def pair() -> Pair:
    """The service and its two hosts."""
    network = ENVIRONMENT["LAB_NETWORK"]
    return Pair(machine("two-head"), machine("two-worker"), SERVICE, f"http://{network}.31:{SERVICE['port']}", ENVIRONMENT["LAB_NAME"])


@pytest.fixture(scope="session")
def stranger() -> Host:
    """A machine that has nothing to do with the service."""
    return machine("two-stranger")
