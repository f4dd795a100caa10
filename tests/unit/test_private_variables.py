# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables of a role's own, __<role>_<name>: each that is used is set somewhere, and each that is set is used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from role_specs import ROLES as FOLDER
from role_specs import ROOT, load, role_names, task_files, tasks

ROLES = role_names()
# Playbooks hand the plan's result on.
ELSEWHERE = {"__plan_result", "__plan_facts"}


def set_in(role: str) -> set[str]:
    """By vars files, by registering, by set_fact, by vars of a task or a block, or by a loop."""
    found = {name for path in (FOLDER / role / "vars").glob("*.yml") for name in load(path) or {}}
    for path in task_files(role):
        for task in tasks(path):
            control: dict[str, Any] = task.get("loop_control") or {}
            found |= {name for name in (task.get("register"), control.get("loop_var"), control.get("index_var")) if name}
            found |= {*(task.get("vars") or {}), *(task.get("ansible.builtin.set_fact") or {})}
    return {name for name in found if name.startswith("__")}


def words_of(role: str, *parts: str) -> list[str]:
    """All occurrences of such a name in the files of O(parts)."""
    files: list[Path] = [path for part in parts for path in sorted((FOLDER / role / part).glob("*")) if path.is_file()]
    return [word for path in files for word in re.findall(r"\b__[a-z]\w*\b", path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("role", ROLES)
def test_private_variables_are_set_and_used(role: str) -> None:
    """A variable that is renamed in one place alone would be undefined in the middle of a run."""
    used = [word for word in words_of(role, "tasks", "handlers", "templates", "vars") if word.startswith(f"__{role}_")]
    missing = sorted(set(used) - set_in(role))
    assert not missing, f"used and never set: {missing}"
    playbooks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "playbooks").rglob("*.yml"))
    idle = sorted(name for name in set_in(role) - ELSEWHERE if used.count(name) < 2 and name not in playbooks)
    assert not idle, f"set and never used: {idle}"
