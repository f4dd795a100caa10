# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine of molecule/model_service, which serves with the small engine."""

from __future__ import annotations

import pytest
from lab import WITH_SMALL_ENGINE, Scenario


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The whole job, with the small engine."""
    return WITH_SMALL_ENGINE
