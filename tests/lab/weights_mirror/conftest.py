# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine of molecule/weights_mirror."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lab import Scenario, role_alone


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The site's own mirror on one machine."""
    return replace(role_alone("weights_mirror"), playbook="playbooks/weights_mirror.yml")
