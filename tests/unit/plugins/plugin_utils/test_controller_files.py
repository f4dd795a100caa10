# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files on the controller that variables name: one rule where they are looked for, in the plan and in the roles."""

from __future__ import annotations

import subprocess

from pathlib import Path

import pytest
import yaml

from ansible_collections.inferops.gpu.plugins.plugin_utils import controller_files as files
from ansible_runs import playbook

ROOT = Path(__file__).resolve().parents[4]
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - inferops.gpu.plan:
      run_once: true
    - ansible.builtin.debug: {msg: "found {{ query('inferops.gpu.controller_file', *(host_ca_certificates + [cuda_apt_key])) }}"}
      run_once: true
"""
INVENTORY = """
all:
  hosts: {gpu1: {}, gpu2: {}}
  vars:
    plan_lookup: false
    plan_gpus: [{name: NVIDIA H100 80GB HBM3, memory_bytes: 85520809984, compute_capability: "9.0"}]
    host_ca_certificates: [files/company-ca.crt]
    cuda_apt_key: keys/cuda.asc
    model_services: [{name: small, model: qwen3-0.6b, port: 8001}]
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"inventory_dir": "/w/inventories/mine", "playbook_dir": "/w"}, ("/w/inventories/mine", "/w")),
        ({"inventory_dir": "/w/inventories/mine", "playbook_dir": "/w/playbooks"}, ("/w/inventories/mine", "/w/playbooks", "/w")),
        # An AWX job: the inventory is a script elsewhere, and is called as its folder in the project.
        (
            {"inventory_dir": "/runner/inventory", "playbook_dir": "/runner/project", "awx_inventory_name": "mine"},
            ("/runner/inventory", "/runner/project/inventories/mine", "/runner/project"),
        ),
        ({"inventory_dir": "/r", "playbook_dir": "/p", "awx_inventory_name": "../../etc"}, ("/r", "/p")),
        ({"inventory_dir": None, "playbook_dir": "/p"}, ("/p",)),
    ],
)
def test_folders(variables: dict[str, object], expected: tuple[str, ...]) -> None:
    assert files.folders(variables) == expected


def test_the_first_folder_wins_and_absolute_stays(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    looked = (str(tmp_path / "none"), str(tmp_path / "one"), str(tmp_path / "two"))
    assert files.find("x", looked) == str(tmp_path / "one" / "x")
    assert files.find(str(tmp_path / "two" / "x"), looked) == str(tmp_path / "two" / "x")
    with pytest.raises(files.NotFound, match=f"looked in {tmp_path}/none, {tmp_path}/one, {tmp_path}/two"):
        files.find("y", looked)
    with pytest.raises(files.NotFound):
        files.find("one", (str(tmp_path),))


def played(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """The playbook in its folder, the inventory in another, run from a third."""
    for name in ("elsewhere", "book", "inventories/mine"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "book" / "play.yml").write_text(PLAY, encoding="utf-8")
    (tmp_path / "inventories" / "mine" / "hosts.yml").write_text(INVENTORY, encoding="utf-8")
    return playbook("-i", str(tmp_path / "inventories" / "mine"), str(tmp_path / "book" / "play.yml"), cwd=tmp_path / "elsewhere")


def test_found_from_any_working_directory(tmp_path: Path) -> None:
    """By the inventory's folder, and by the playbook's."""
    for name in ("inventories/mine/files/company-ca.crt", "book/keys/cuda.asc"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    done = played(tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"{tmp_path}/inventories/mine/files/company-ca.crt" in done.stdout and f"{tmp_path}/book/keys/cuda.asc" in done.stdout


def test_the_plan_names_what_is_missing(tmp_path: Path) -> None:
    """Each file, the variable, and the folders looked in, in the plan."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "play.yml").touch()
    done = played(tmp_path)
    assert done.returncode != 0
    output = " ".join(done.stdout.split())
    assert "company-ca.crt" in output and f"looked in {tmp_path}/inventories/mine, {tmp_path}/book" in output


def test_no_role_reads_them_otherwise() -> None:
    """A variable that names files on the controller is only ever read through the lookup."""
    for path in [*(ROOT / "roles").rglob("tasks/*.yml"), *(ROOT / "playbooks").rglob("*.yml")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip().startswith(("src:", "loop:", "services:", "ca_certificates:", "__verify_authorities:")) and any(name in line for name in files.VARIABLES):
                assert "inferops.gpu.controller_file" in line, f"{path}: {line}"


def test_every_such_variable_is_known() -> None:
    """What a role's contract calls a file on the controller is found by the one rule, and missed by the plan. Plan and reports are written, not read."""
    told = set()
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for name, option in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"].items():
            text = option["description"] if isinstance(option["description"], str) else " ".join(option["description"])
            told |= {name} if "on the controller" in text else set()
    assert told - {"plan_output", "run_report_dir"} == set(files.VARIABLES)
