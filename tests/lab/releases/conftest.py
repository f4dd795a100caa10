# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host that serves, after all that was done to it before."""

from __future__ import annotations

import pytest
from testinfra.host import Host


@pytest.fixture(scope="session", autouse=True)
def nothing_has_failed(host: Host) -> None:
    """What failed before is forgotten: the tests look at what fails from here on."""
    host.run_expect([0], "systemctl reset-failed")
