# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hosts that molecule/weights_share has made. They have fetched the model once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import testinfra
from fleet import HOSTS, Fleet, ask
from lab import SSH_CONFIG


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """All hosts over kept SSH connections, with root's rights. The origin behaves well again afterwards."""
    yield Fleet({name: testinfra.get_host(f"ssh://{name}", ssh_config=SSH_CONFIG, sudo=True) for name in (*HOSTS, "lab-cache")})
    ask("DELETE", "settings")
