# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service that is deployed on the virtual machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lab import ROOT, Scenario
from served import Service
from virtual import Machine


@pytest.fixture(scope="session")
def service(machine: Machine, scenario: Scenario) -> Service:
    """The service of the inventory."""
    variables = yaml.safe_load(Path(scenario.inventories[0], "group_vars", "uml.yml").read_text(encoding="utf-8"))
    return Service(machine, variables["model_services"][0], machine.folder / "answer")


@pytest.fixture(scope="session")
def small_engine() -> dict[str, Any]:
    """Variables of the small engine (lab/small_engine) in the place of vLLM: an upgrade like another one, which is built and starts in a moment."""
    inventory = ROOT / "lab" / "small_engine" / "inventory" / "group_vars" / "all.yml"
    return {name: value for name, value in yaml.safe_load(inventory.read_text(encoding="utf-8")).items() if name.startswith("vllm_")}
