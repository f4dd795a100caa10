# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages that differ by distribution come from the file of C(roles/cuda/vars) that bears its name."""

from __future__ import annotations

import json
from pathlib import Path

import ansible_runs
import yaml

ROOT = Path(__file__).resolve().parents[4]

# /etc/os-release of a host, what it sets, and its packages of the driver.
SYSTEMS = {
    "noble": ({"id": "ubuntu", "version_id": "24.04", "like": ["debian"]}, {}, ["nvidia-driver-580-server-open"]),
    "closed": ({"id": "ubuntu", "version_id": "24.04", "like": ["debian"]}, {"cuda_driver_modules": "proprietary"}, ["nvidia-driver-580-server"]),
    "mint": ({"id": "linuxmint", "version_id": "22", "like": ["ubuntu", "debian"]}, {}, ["nvidia-driver-580-server-open"]),
    "bookworm": ({"id": "debian", "version_id": "12", "like": []}, {}, []),
    "named": ({"id": "debian", "version_id": "12", "like": []}, {"cuda_driver_packages": ["nvidia-driver"]}, ["nvidia-driver"]),
    "nvidia": ({"id": "debian", "version_id": "12", "like": []}, {"cuda_apt_repository": "https://mirror.example/cuda"}, ["nvidia-open-580"]),
}


def test_driver_packages_are_those_of_the_distribution(tmp_path: Path) -> None:
    """All systems in one run: what one host reads is not what the next one uses."""
    hosts = {name: {"plan_facts": {"os": system, "packages": []}, **variables} for name, (system, variables, _packages) in SYSTEMS.items()}
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    tasks = [
        {"ansible.builtin.include_role": {"name": "inferops.gpu.cuda", "tasks_from": "distribution", "public": True}},
        {"ansible.builtin.debug": {"msg": "found={{ {inventory_hostname: __cuda_driver_packages} | to_json }}"}},
    ]
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    environment = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"}
    done = ansible_runs.playbook("-i", str(inventory), "-c", "local", str(playbook), env=environment, config=ROOT / "ansible.cfg", merged=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if "found=" in line:
            found.update(json.loads(line.split("found=")[1].strip().rstrip("'")))
    assert found == {name: packages for name, (_system, _variables, packages) in SYSTEMS.items()}
