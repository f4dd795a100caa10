# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An AWX without AWX: its project, its inventory and its credentials, for jobs that ansible-runner runs.

The tests run in this order on a host where interrupted runs have left half an installation; what they deploy `converge` finds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from awx_jobs import Awx
from lab import GROUP, ROOT


def as_in_awx(inventory: dict[str, Any]) -> None:
    """User and key are the machine credential's, and the API key the custom credential's."""
    everywhere, group = inventory["all"]["vars"], inventory[GROUP]["vars"]
    del everywhere["ansible_user"], everywhere["ansible_ssh_private_key_file"]
    everywhere["ansible_ssh_common_args"] = everywhere["ansible_ssh_common_args"].replace("-o IdentitiesOnly=yes", "")
    del group["model_services"][0]["api_key"]


@pytest.fixture(scope="session")
def awx() -> Iterator[Awx]:
    """The project and its inventory, up to date."""
    with tempfile.TemporaryDirectory(prefix="awx_") as folder:
        made = Awx(Path(folder), (ROOT / ".lab" / "ssh" / "id_ed25519").read_text(encoding="utf-8"))
        made.update_project()
        made.update_inventory("inventories/lab", "molecule/default/inventory", change=as_in_awx)
        yield made
        made.close()
