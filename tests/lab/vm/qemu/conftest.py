# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The roles kernel and firewall on a machine with Debian's own kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab import ROOT, Scenario


@pytest.fixture(scope="session")
def scenario(vm_name: str, vm_inventory: Path) -> Scenario:
    """The playbook of molecule/host_tuning, which serves nothing."""
    return Scenario((vm_inventory,), str(ROOT / "molecule" / "host_tuning" / "converge.yml"), vm_name, seconds=3600)
