# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each role's README has an example play that Ansible takes, and each role used without the plan says how to use it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import ansible_runs
import pytest
import yaml

from role_specs import ROLES as FOLDER
from role_specs import ROOT, load, role_names, tasks

ROLES = role_names()
# Runs before the plan, or without it.
WITHOUT_PLAN = {"plan", "weights_mirror", "run_report"}
# Entry points that follow another one of their role, which has checked for the plan.
LATER = {("weights", "start"), ("weights", "join"), ("weights", "compare"), ("cuda", "smoke_test"), ("vllm", "prune")}


def example(role: str) -> list[dict[str, Any]]:
    """The play under "Example play" in the role's README."""
    text = (FOLDER / role / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^## Example play\n\n```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, f"roles/{role}/README.md has no example play"
    return list(yaml.safe_load(found[1]))


def used(play: dict[str, Any]) -> list[str]:
    return [entry["role"].rpartition(".")[2] for entry in play.get("roles", [])]


def ansible(playbook: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["-i", "localhost,", "-c", "local", str(playbook), *arguments]
    return ansible_runs.playbook(*command, env={"ANSIBLE_NOCOLOR": "1"}, config=ROOT / "ansible.cfg", merged=False)


@pytest.mark.parametrize("role", ROLES)
def test_example_has_the_role_after_the_plan(role: str) -> None:
    """The play has the role itself, and the plan comes first; no variables, since the plan does not see those of a play."""
    [play] = example(role)
    if role == "weights_mirror":
        assert play["ansible.builtin.import_playbook"] == "inferops.gpu.weights_mirror" and (ROOT / "playbooks" / "weights_mirror.yml").exists()
        return
    roles = used(play)
    assert role in roles and roles[0] == "plan" and set(roles) <= set(ROLES)
    assert "vars" not in play and not [entry for entry in play["roles"] if "vars" in entry]


def test_ansible_takes_the_examples(tmp_path: Path) -> None:
    """As they stand in the READMEs, all in one playbook."""
    playbook = tmp_path / "examples.yml"
    playbook.write_text(yaml.safe_dump([play for role in ROLES for play in example(role)]), encoding="utf-8")
    done = ansible(playbook, "--syntax-check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("role", sorted(set(ROLES) - WITHOUT_PLAN))
def test_entry_points_check_for_the_plan(role: str) -> None:
    """First of all: without the plan the first expression would fail, and name nothing but a variable."""
    for entry in set(load(FOLDER / role / "meta" / "argument_specs.yml")["argument_specs"]):
        if (role, entry) in LATER:
            continue
        first = tasks(FOLDER / role / "tasks" / f"{entry}.yml")[0]
        if "ansible.builtin.import_tasks" in first:
            first = tasks(FOLDER / role / "tasks" / first["ansible.builtin.import_tasks"])[0]
        assert first.get("ansible.builtin.import_role") == {"name": "inferops.gpu.plan", "tasks_from": "required"}, f"{role}: {entry}"


def test_a_role_without_the_plan_says_how_to_use_it(tmp_path: Path) -> None:
    """The message names the host, the role and the fix."""
    # The report of a run without a plan says that there is none.
    others = [role for role in ROLES if role not in ("plan", "run_report")]
    # A block for each role, so that one run shows what all of them say.
    included = [{"block": [{"ansible.builtin.include_role": {"name": f"inferops.gpu.{role}"}}], "rescue": [{"ansible.builtin.meta": "noop"}]} for role in others]
    playbook = tmp_path / "alone.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": included}]), encoding="utf-8")
    done = ansible(playbook)
    said = " ".join(done.stdout.split())
    fixes = {role: f"localhost has no plan (plan_host, plan_facts). Why: inferops.gpu.{role} applies" for role in others}
    fixes["weights_mirror"] = "Fix: run the playbook inferops.gpu.weights_mirror,"
    assert [role for role in others if fixes[role] not in said] == [], said
    assert f"rescued={len(others)}" in said and "is undefined" not in said
