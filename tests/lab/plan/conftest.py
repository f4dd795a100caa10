# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine of molecule/plan."""

from __future__ import annotations

import pytest
from lab import Scenario, role_alone


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The role plan on one machine."""
    return role_alone("plan")
