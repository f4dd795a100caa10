# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A virtual machine of the lab: `make vm` starts it, names it in VM_HOST, and runs these tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lab import ENVIRONMENT, ROOT, Scenario

# For the modules beside this file.
sys.path.insert(0, str(Path(__file__).parent))

from virtual import Machine

NAME = os.environ.get("VM_HOST", "uml-bookworm")
INVENTORY = ROOT / "tests" / "lab" / "vm" / "inventory"


@pytest.fixture(scope="session")
def vm_name() -> str:
    """The machine under test, a host of the inventory."""
    return NAME


@pytest.fixture(scope="session")
def vm_inventory() -> Path:
    """The inventory of all virtual machines."""
    return INVENTORY


@pytest.fixture(scope="session")
def scenario(vm_name: str, vm_inventory: Path) -> Scenario:
    """The whole deployment on one virtual machine."""
    return Scenario((vm_inventory,), "site.yml", vm_name, seconds=3600)


@pytest.fixture(scope="session")
def machine(addresses: dict[str, str]) -> Machine:
    """The machine, with its power switch."""
    return Machine(NAME, addresses[NAME], ROOT / ".lab" / "vm" / ENVIRONMENT["LAB_NAME"] / NAME)


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """Takes a disturbance and the seconds until the right answer, for the table at the end."""

    def keep(what: str, seconds: float) -> None:
        record_property("seconds", (what, seconds))

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of what was measured."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    lines = [value for report in reports for name, value in report.user_properties if name == "seconds"]
    if lines:
        terminalreporter.write_sep("=", f"seconds until the right answer, {NAME}")
        for what, seconds in lines:
            terminalreporter.write_line(f"{seconds:7.0f}  {what}")
