# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What molecule/releases plays: the inventory of molecule/default, with engines that start faster."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lab import ROOT, SERVED, Scenario


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The whole job, as the scenario's own converge plays it."""
    return replace(SERVED, inventories=(*SERVED.inventories, ROOT / "molecule" / "releases" / "inventory"))
