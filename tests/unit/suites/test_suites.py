# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table that `make test-changed` picks suites by: it covers every file and every suite, and says why it picks one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import suites
import yaml
from changed import changes

ROWS: list[dict[str, Any]] = yaml.safe_load(suites.TABLE.read_text(encoding="utf-8"))["rows"]
SCENARIOS = suites.scenarios()
EVERY = suites.expand(["all"], SCENARIOS)
ROLES = sorted(path.name for path in (suites.ROOT / "roles").iterdir())


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=suites.ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    return listed.stdout.splitlines()


def chosen(*paths: str) -> list[str]:
    return sorted(suites.reasons(paths, ROWS, SCENARIOS))


def test_every_file_matches_a_row() -> None:
    """Without one it would pick every suite, which a table is not needed for."""
    files = tracked()
    assert len(files) > 500
    assert [path for path in files if not any(suites.matches(path, pattern) for row in ROWS for pattern in row["paths"])] == []


def test_every_pattern_matches_a_file() -> None:
    """A folder that was renamed leaves no row behind."""
    files = tracked()
    assert [pattern for row in ROWS for pattern in row["paths"] if not any(suites.matches(path, pattern) for path in files)] == []


def test_every_suite_is_chosen_by_something_of_its_own() -> None:
    """By more than the rows that choose all, or all scenarios; the names in the table are suites that there are."""
    named = [suite for row in ROWS for suite in row["suites"]]
    assert set(named) - {"all", "molecule"} <= set(EVERY), "the table names a suite that does not exist"
    of_roles = {f"molecule {name}" for name in SCENARIOS if name in ROLES}
    assert set(EVERY) <= set(named) | of_roles, "tests/suites.yml lacks a row for this suite"


def test_suites_are_those_that_run_all_runs() -> None:
    """Each has its script, and tests/run-all.sh knows it."""
    text = (suites.ROOT / "tests" / "run-all.sh").read_text(encoding="utf-8")
    for suite in suites.SCRIPTS:
        assert (suites.ROOT / "tests" / f"run-{suite}.sh").exists() and re.search(rf"\b{suite}\b", text), suite


@pytest.mark.parametrize(("path", "some"), [
    ("roles/kernel/tasks/main.yml", {"molecule host_tuning", "lint", "unit", "sanity"}),
    ("roles/cuda/vars/debian.yml", {"molecule cuda"}),
    ("molecule/two_node/molecule.yml", {"molecule two_node", "lint"}),
    ("tests/lab/served/test_2_client.py", {"molecule default", "unit"}),
    ("plugins/module_utils/supervisor/units.py", {"molecule two_node", "unit", "sanity"}),
    ("plugins/plugin_utils/plan/resolve.py", {f"molecule {name}" for name in SCENARIOS}),
    ("tests/env.sh", set(EVERY)),
    ("nowhere/at/all", set(EVERY)),
])
def test_what_a_file_picks(path: str, some: set[str]) -> None:
    assert some <= set(chosen(path)), path


@pytest.mark.parametrize(("path", "none"), [
    ("docs/lab.md", "molecule"), ("roles/cuda/tasks/main.yml", "molecule two_node"), ("tests/lab/served/test_2_client.py", "molecule two_node"),
    ("tests/unit/test_links.py", "sanity"), ("plugins/module_utils/fetch/main.py", "molecule two_node"),
])
def test_what_a_file_does_not_pick(path: str, none: str) -> None:
    assert not [suite for suite in chosen(path) if suite.startswith(none)], path


def test_reasons_name_file_and_row() -> None:
    found = suites.reasons(["roles/cuda/tasks/main.yml"], ROWS, SCENARIOS)
    assert found["molecule cuda"] == ["roles/cuda/tasks/main.yml (CUDA)"]


def test_a_scenario_owns_what_it_verifies_and_plays() -> None:
    scenario = {"scenario": {"test_sequence": ["create", "verify ../../tests/lab/x"]}, "ansible": {"playbooks": {"converge": "../other/converge.yml"}}}
    assert suites.folders("mine", scenario) == ("molecule/mine", "roles/mine", "tests/lab/x", "molecule/other/converge.yml")


def test_changes_are_committed_uncommitted_and_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since the branch left main; what main got since then is none of its own. Ignored files are not listed, deleted and renamed ones are."""

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    def commit(name: str, text: str) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")
        git("add", "-A")
        git("commit", "--quiet", "-m", name)

    monkeypatch.delenv("BASE", raising=False)
    git("init", "--quiet", "--initial-branch=main")
    commit("old", "1\n" * 20)
    commit(".gitignore", "ignored\n")
    git("checkout", "--quiet", "-b", "branch")
    commit("committed", "")
    git("checkout", "--quiet", "main", "--")
    commit("of main", "")
    git("checkout", "--quiet", "branch", "--")
    git("mv", "old", "moved")
    (tmp_path / "neü").write_text("", encoding="utf-8")
    (tmp_path / "ignored").write_text("", encoding="utf-8")
    assert changes(tmp_path).paths == ("committed", "moved", "neü", "old")
    assert changes(tmp_path, base="HEAD").paths == ("moved", "neü", "old")
