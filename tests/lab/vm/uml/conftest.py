# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service that is deployed on the virtual machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab import ROOT, Scenario
from served import Service
from virtual import Machine


# vLLM itself takes hours here, where the start of a process takes half a second.
IS_VLLM = os.environ.get("ENGINE") == "vllm"
SMALL_ENGINE = ROOT / "lab" / "small_engine" / "inventory"


@pytest.fixture(scope="session")
def scenario(vm_name: str, vm_inventory: Path) -> Scenario:
    """The whole deployment on one virtual machine, of the small engine unless ENGINE is C(vllm)."""
    return Scenario((vm_inventory, *([] if IS_VLLM else [SMALL_ENGINE])), "site.yml", vm_name, seconds=3600)


@pytest.fixture(scope="session")
def service(machine: Machine, scenario: Scenario) -> Service:
    """The service of the inventory."""
    variables = yaml.safe_load(Path(scenario.inventories[0], "group_vars", "uml.yml").read_text(encoding="utf-8"))
    return Service(machine, variables["model_services"][0], machine.folder / "answer")


@pytest.fixture
def slow_rate() -> int:
    """Slower than elsewhere: on a controller whose CPUs are busy the test itself takes a minute to see the download."""
    return 5000


@pytest.fixture(scope="session")
def upgrade() -> dict[str, Any]:
    """Variables of an upgrade: from vLLM to the small engine, which is built and starts in a moment; from the small engine to one with a package more."""
    if not IS_VLLM:
        return {"vllm_requirements": ["tabulate==0.9.0"]}
    variables = yaml.safe_load((SMALL_ENGINE / "group_vars" / "all.yml").read_text(encoding="utf-8"))
    return {name: value for name, value in variables.items() if name.startswith("vllm_")}
