# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that services around the repository read: the workflow, issue forms, pre-commit, the devcontainer, galaxy.yml."""

from __future__ import annotations

import json
import re

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_workflow_calls_the_scripts_that_ci_calls() -> None:
    jobs = read(".github/workflows/ci.yml")["jobs"]
    assert set(jobs["fast"]["strategy"]["matrix"]["target"]) <= TARGETS
    assert {"run": "make ${{ matrix.target }}"} in jobs["fast"]["steps"]
    assert {"run": ".ci/run"} in jobs["all"]["steps"] and (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_issue_forms() -> None:
    """What GitHub wants of a form: without any of it the form does not show."""
    forms = [path for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
    assert len(forms) >= 3
    for path in forms:
        form = read(str(path.relative_to(ROOT)))
        assert form["name"] and form["description"] and form["body"], path.name
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert all(field["type"] in ("input", "textarea", "dropdown", "checkboxes") and field["attributes"]["label"] for field in fields), path.name
        names = [field["id"] for field in fields]
        assert len(names) == len(set(names)), path.name


def test_pre_commit_runs_what_setup_installs() -> None:
    """Each hook is a tool of .venv, so that a commit and CI say the same."""
    hooks = [hook for repository in read(".pre-commit-config.yaml")["repos"] for hook in repository["hooks"]]
    pinned = (ROOT / "requirements-test.txt").read_text(encoding="utf-8")
    for hook in hooks:
        tool = re.search(r"\.venv/bin/([\w-]+)", hook["entry"])
        assert tool and (tool[1] == "python" or re.search(rf"^{tool[1]}(-py)?==", pinned, re.MULTILINE)), hook["id"]
        assert all((ROOT / path).exists() for path in re.findall(r"tests/[\w/]+\.py", hook["entry"])), hook["id"]


def test_devcontainer() -> None:
    made = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert made["postCreateCommand"].removeprefix("make ") in TARGETS


def test_galaxy_is_complete() -> None:
    """Keys that Galaxy shows; and nothing of the repository's own goes into the collection."""
    galaxy = read("galaxy.yml")
    assert all(str(galaxy[key]).startswith("https://") for key in ("repository", "homepage", "documentation", "issues"))
    assert galaxy["description"] and galaxy["license"] and galaxy["authors"] and 0 < len(galaxy["tags"]) <= 20
    assert all(re.fullmatch(r"[a-z][a-z0-9]*", tag) for tag in galaxy["tags"])
    hidden = {path.name for path in ROOT.iterdir() if path.name.startswith(".")} - {".hypothesis"}
    assert hidden <= set(galaxy["build_ignore"]), hidden - set(galaxy["build_ignore"])


def test_files_of_tests_have_different_names() -> None:
    """Folders of tests are no packages, so pytest collects only one of two files with the same name."""
    names = [path.name for path in sorted((ROOT / "tests" / "unit").rglob("test_*.py"))]
    assert len(names) > 100 and not {name for name in names if names.count(name) > 1}
