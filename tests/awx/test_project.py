# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The repository as a project of AWX: playbooks found, roles resolved, inventories read, nobody asked, nothing written into it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from configuration import ROOT, read
from role_specs import load, role_names, task_files

DATA = read(Path("/dev/null"))
PLAYBOOKS = sorted({entry["playbook"] for entry in DATA["controller_templates"]})
CLUSTERS = [source["source_path"] for source in DATA["controller_inventory_sources"]]
SITE_PACKAGES = sysconfig.get_path("purelib")

# Folders in which AWX looks for no playbook, and the line by which it knows one (awx/main/utils/ansible.py).
SKIPPED = {"roles", "tasks", "group_vars", "host_vars"}
A_PLAYBOOK = re.compile(r"\s*-?\s*(?:hosts|(?:ansible\.builtin\.)?(?:include|import_playbook)):")

# What jobs may have Ansible do on the controller. None of it writes there, but for the plan, the status, the drift and the verdicts when somebody names a file for them.
ON_THE_CONTROLLER = {
    ("playbooks/tasks/write_plan.yml", "ansible.builtin.copy"),
    ("playbooks/tasks/write_status.yml", "ansible.builtin.copy"),
    ("playbooks/tasks/write_drift.yml", "ansible.builtin.copy"),
    ("playbooks/doctor.yml", "ansible.builtin.copy"),
    ("roles/model_service/tasks/blue_green_service.yml", "ansible.builtin.wait_for"),
    ("roles/verify/tasks/query.yml", "inferops.gpu.api_check"),
}
KEYWORDS = {"name", "when", "register", "vars", "loop", "loop_control", "tags", "become", "delegate_to", "run_once", "connection", "check_mode", "no_log"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as git hands it out, links as links, in a folder of another name."""
    folder = tmp_path_factory.mktemp("awx") / "_8__inferops"
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists() or (ROOT / name).is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def installed(project: Path) -> Path:
    """The folder of collections that AWX makes of collections/requirements.yml. Those of Galaxy are there already: there may be no network."""
    stage = project.parent / "requirements_collections"
    done = run("galaxy", "collection", "install", "-r", str(project / "collections" / "requirements.yml"), "--offline", cwd=project, collections=stage)
    assert "inferops.gpu:0.1.0 was installed successfully" in done
    return stage


def run(*arguments: str, cwd: Path, collections: Path | str) -> str:
    """Ansible in a folder, as AWX starts it: no setting from outside, collections first where they are said to be."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_COLLECTIONS_PATH": f"{collections}:{SITE_PACKAGES}", "ANSIBLE_GALAXY_DISPLAY_PROGRESS": "false", "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "ansible", *arguments], cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def discovered(project: Path) -> set[str]:
    """The playbooks that AWX finds in a project."""
    found = set()
    for path in project.rglob("*.y*ml"):
        parts = path.relative_to(project).parts
        outside = not SKIPPED & set(parts[:-1]) and not any(part.startswith(".") for part in parts[:-1])
        if outside and any(A_PLAYBOOK.match(line) for line in path.read_text(encoding="utf-8").splitlines()):
            found.add(str(path.relative_to(project)))
    return found


def test_playbooks_are_discovered(project: Path) -> None:
    """Every template's, and not the files of tasks and data."""
    found = discovered(project)
    assert set(PLAYBOOKS) <= found
    assert not {name for name in found if name.startswith("playbooks/") and name.count("/") > 1}


def test_requirements_are_the_repository_and_its_dependencies(installed: Path) -> None:
    """The collection comes from the project as it stands, without what is in it of other collections; the rest is what galaxy.yml depends on."""
    wanted = {entry["name"]: entry for entry in load(ROOT / "collections" / "requirements.yml")["collections"]}
    assert wanted.pop("./") == {"name": "./", "type": "dir"}
    assert {name: entry["version"] for name, entry in wanted.items()} == load(ROOT / "galaxy.yml")["dependencies"]
    collection = installed / "ansible_collections" / "inferops" / "gpu"
    assert (collection / "roles" / "plan").is_dir() and (collection / "MANIFEST.json").is_file()
    assert not [name for name in ("collections", ".lab", ".venv", "inventories", "lab", ".git") if (collection / name).exists()]
    assert [path.name for path in (installed / "ansible_collections").iterdir() if path.is_dir() and "info" not in path.name] == ["inferops"]


def test_collections_that_are_used_are_required() -> None:
    """No task of a job needs a collection that AWX would not have."""
    known = {"ansible.builtin", "inferops.gpu", *load(ROOT / "galaxy.yml")["dependencies"]}
    used = {tuple(name.split(".")[:2]) for _path, task in job_tasks() for name in task if name.count(".") == 2}
    assert {".".join(parts) for parts in used} <= known


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_roles_resolve_from_what_awx_installs(project: Path, installed: Path, playbook: str) -> None:
    """With AWX's folder alone, which ansible.cfg does not name."""
    run("playbook", "-i", "localhost,", "--syntax-check", playbook, cwd=project, collections=installed)


def test_roles_resolve_without_it(project: Path) -> None:
    """Where AWX installs nothing it still puts the collections_path of the project's ansible.cfg behind its own folder."""
    found = re.search(r"^collections_path = (\S+)$", (project / "ansible.cfg").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    for playbook in PLAYBOOKS:
        run("playbook", "-i", "localhost,", "--syntax-check", playbook, cwd=project, collections=f"/nowhere:{found[1]}")


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_inventories_are_imported(project: Path, cluster: str) -> None:
    """What AWX stores of an inventory: every host with its services, expressions as they are."""
    output = project.parent / "output.json"
    source = str(project / cluster)
    run("inventory", "--list", "--export", "-i", source, "--output", str(output), "--playbook-dir", source, cwd=project, collections="/nowhere")
    stored = json.loads(output.read_text(encoding="utf-8"))
    assert stored["qwen235b"]["hosts"] and stored["qwen235b"]["vars"]["model_services"][0]["name"] == "qwen3-235b"
    assert "{{" in stored["qwen235b"]["vars"]["plan_gpus"]


def job_tasks() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every task of what templates run, with its file: the playbooks, their own tasks, all roles."""

    def walk(entries: Any) -> Iterator[dict[str, Any]]:
        for entry in entries or []:
            yield entry
            for part in ("block", "rescue", "always"):
                yield from walk(entry.get(part))

    paths = [ROOT / name for name in ("site.yml", "playbooks/site.yml", *PLAYBOOKS)] + sorted((ROOT / "playbooks" / "tasks").glob("*.yml"))
    for path in dict.fromkeys([*paths, *(file for role in role_names() for file in task_files(role))]):
        for entry in load(path) or []:
            plays = [*(entry.get(part) or [] for part in ("pre_tasks", "tasks", "post_tasks", "handlers"))] if "hosts" in entry else [[entry]]
            for tasks in plays:
                yield from ((str(path.relative_to(ROOT)), task) for task in walk(tasks))


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")) + [ROOT / "site.yml"], ids=lambda path: path.name)
def test_nobody_is_asked(path: Path) -> None:
    """Neither a play nor a job's task waits for a person."""
    assert not [play["name"] for play in yaml.safe_load(path.read_text(encoding="utf-8")) if "vars_prompt" in play]


def test_no_task_waits_for_a_person() -> None:
    interactive = {"ansible.builtin.pause", "pause"}
    assert [f"{path}: {task.get('name')}" for path, task in job_tasks() if interactive & set(task)] == []
    assert len({path for path, _task in job_tasks()}) > 40


def test_nothing_is_written_into_the_project() -> None:
    """What runs on the controller is known, task by task. AWX throws the project's copy away after each job."""
    there = set()
    for path, task in job_tasks():
        local = task.get("delegate_to") == "localhost" or task.get("connection") == "local" or (task.get("vars") or {}).get("ansible_connection") == "local"
        if local or "ansible.builtin.fetch" in task or "local_action" in task:
            there |= {(path, name) for name in task if name.count(".") == 2 and name not in KEYWORDS}
    assert there == ON_THE_CONTROLLER
    asked = {question["variable"] for question in DATA["controller_survey_questions"]}
    for name in ("plan", "status"):
        [written] = [task for path, task in job_tasks() if path == f"playbooks/tasks/write_{name}.yml"]
        assert f"{name}_output | default('') | length > 0" in written["when"]
        assert f"{name}_output" not in asked
