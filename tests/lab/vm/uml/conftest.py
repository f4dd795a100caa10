# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service that is deployed on the virtual machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from lab import Scenario
from served import Service
from virtual import Machine


@pytest.fixture(scope="session")
def service(machine: Machine, scenario: Scenario) -> Service:
    """The service of the inventory."""
    variables = yaml.safe_load(Path(scenario.inventories[0], "group_vars", "uml.yml").read_text(encoding="utf-8"))
    return Service(machine, variables["model_services"][0], machine.folder / "answer")
