# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""playbooks/maintenance.yml on a host of the inventory on which nothing has been deployed: this machine, read and left as it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_runs import ROOT, playbook

INVENTORY = """
all:
  hosts:
    gpu1:
      ansible_connection: local
      ansible_become: false
      ansible_python_interpreter: {python}
      host_install_dir: {folder}/opt
      host_state_dir: {folder}/state
      model_service_min_ready_seconds: 0
      model_services: [{{name: qwen, model: qwen3-8b, port: 8001}}]
"""


@pytest.mark.parametrize(("name", "given", "words"), [
    ("maintenance", [], ""), ("stop", ["-e", "stop_service=qwen"], "stop_service: no host of this run has a service qwen"),
])
def test_a_host_without_services(name: str, given: list[str], words: str, tmp_path: Path) -> None:
    """Maintenance has nothing to stop there; a playbook that is given a service says that there is none."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(INVENTORY.format(python=sys.executable, folder=tmp_path))
    done = playbook("-i", str(inventory), "-l", "gpu1", *given, str(ROOT / "playbooks" / f"{name}.yml"))
    assert (done.returncode == 0) == (not words) and words in " ".join(done.stdout.split()), done.stdout
    assert "gpu1" in done.stdout.partition("PLAY RECAP")[2] and "changed=0" in done.stdout, done.stdout
