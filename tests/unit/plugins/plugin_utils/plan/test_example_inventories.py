# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The example inventories, planned as a user would without a host to ask."""

from __future__ import annotations

import json

from pathlib import Path
from typing import Any

import ansible_runs
import pytest

ROOT = Path(__file__).resolve().parents[5]


def play(playbook: str, inventory: str, *options: str) -> tuple[int, str]:
    """Exit status of a playbook of this collection over an example inventory, and what it printed."""
    environment = {"ANSIBLE_INJECT_FACT_VARS": "false", "ANSIBLE_FORCE_COLOR": "false"}
    arguments = ["-i", f"inventories/{inventory}", playbook, "-e", "plan_offline=true", *options]
    done = ansible_runs.playbook(*arguments, cwd=ROOT, env=environment, config=ROOT / "ansible.cfg")
    return done.returncode, done.stdout


def planned(inventory: str, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """What plan.yml prints of an inventory without errors, and what it writes."""
    output = tmp_path / "plan.json"
    status, printed = play("playbooks/plan.yml", inventory, "-e", f"plan_output={output}")
    assert status == 0, printed
    plan = json.loads(output.read_text(encoding="utf-8"))
    assert plan["errors"] == []
    return printed, plan


@pytest.mark.parametrize("inventory", sorted(path.name for path in (ROOT / "inventories").glob("example_*")))
def test_no_errors(inventory: str, tmp_path: Path) -> None:
    """Every example can be planned as it stands, its memory too."""
    printed, plan = planned(inventory, tmp_path)
    assert plan["hosts"]
    for host in plan["hosts"].values():
        assert [service["memory"] is not None and service["memory"]["concurrency"] > 1 for service in host["services"]] == [True]
        assert host["host"] in printed


def test_two_nodes(tmp_path: Path) -> None:
    """One service over both hosts; a stage of the model on each."""
    printed, plan = planned("example_two_node", tmp_path)
    head, worker = (host["services"][0] for host in plan["hosts"].values())
    assert (head["node"]["role"], worker["node"]["role"]) == ("head", "worker")
    assert [stage["layers"] for stage in head["stages"]["stages"]] == [47, 47]
    # A long line of the list is folded.
    words = " ".join(printed.split())
    assert "tensor parallel 8 x pipeline parallel 2 on 2 hosts with ray" in words and "--pipeline-parallel-size=2" in words


@pytest.mark.parametrize("playbook", ["site.yml", "playbooks/plan.yml"])
def test_half_of_it_is_refused(playbook: str) -> None:
    """A limit that leaves a host out, in words that name it; one that leaves the whole service out is none of its business."""
    status, printed = play(playbook, "example_two_node", "--limit", "gpu2.example.org")
    assert status != 0 and "gpu1.example.org is not in this run" in printed


def test_looking_does_not_deploy() -> None:
    """Whoever says plan_only of site.yml gets no further than the plan."""
    status, printed = play("site.yml", "example_single", "-e", "plan_only=true", "--check")
    assert status != 0 and "plan_host" in printed and "changed=0" in printed
