# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parts of one service that are followed on several hosts: who fails tells those who would wait for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants
from ansible_collections.inferops.gpu.plugins.action import follow_unit


class Followed(follow_unit.ActionModule):
    """The action with a task of a known id, and what its unit says each time that it is looked at."""

    def __init__(self, task: str, looks: list[dict[str, Any]], **arguments: Any) -> None:
        self._task = SimpleNamespace(_uuid=task, check_mode=False, args=arguments)
        self.looks = iter(looks)

    def validate_argument_spec(self, argument_spec: dict[str, Any]) -> tuple[None, dict[str, Any]]:
        defaults = {name: option.get("default") for name, option in argument_spec.items()}
        return None, {**defaults, "unit": "u.service", "label": "Start of big", "fail": False, **self._task.args}

    def _look(self, arguments: dict[str, Any], restarts: int, task_vars: dict[str, Any]) -> dict[str, Any]:
        return next(self.looks)

    def follow(self, host: str) -> dict[str, Any]:
        return self.run(None, {"inventory_hostname": host})


FELL = {"ended": True, "failed_start": True, "state": "failed", "result": "exit-code", "cause": "ValueError: no\nmore", "journal": []}
WAITS = {"ended": False, "state": "activating"}
SERVES = {"ended": True, "failed_start": False, "state": "active", "status": "serving on a, b"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(follow_unit.ActionModule.__mro__[1], "run", lambda self, tmp, task_vars: {})


def test_who_waits_for_a_part_that_failed_waits_no_longer() -> None:
    Followed("t", [FELL], together="big").follow("a")
    found = Followed("t", [WAITS], together="big").follow("b")
    assert found["error"] == "Start of big: stopped waiting, because its group has failed on a: Start of big failed: ValueError: no"


@pytest.mark.parametrize(("task", "keys"), [("t", {"together": "other"}), ("t", {}), ("the gate after a rollback", {"together": "big"})])
def test_nobody_else_is_told(task: str, keys: dict[str, str]) -> None:
    Followed("t", [FELL], together="big").follow("a")
    assert Followed(task, [WAITS, SERVES], **keys).follow("b")["state"] == "active"


def test_what_serves_tells_nobody() -> None:
    assert Followed("t", [SERVES], together="big").follow("a")["status"] == "serving on a, b"
    assert Followed("t", [WAITS, SERVES], together="big").follow("b")["state"] == "active"


def test_a_task_does_not_outlive_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the run is killed, init adopts its tasks."""
    parents = iter([100, 100, 1])
    monkeypatch.setattr(follow_unit.os, "getppid", lambda: next(parents))
    found = Followed("t", [WAITS, WAITS, SERVES]).follow("a")
    assert found["error"] == "Start of big: stopped waiting, because the run has ended; the unit continues on the host"
