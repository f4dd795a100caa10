# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several units of a host, followed side by side."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.inferops.gpu.plugins.action import follow_units

WAITS = {"ended": False, "state": "activating", "status": "starting: loading weights, 43 %", "restarts": 2}
FELL = {"ended": True, "failed_start": True, "state": "failed", "result": "exit-code", "cause": "ValueError: no", "journal": [], "restarts": 1}
SERVES = {"ended": True, "failed_start": False, "state": "active", "status": "serving", "restarts": 0}


class Followed(follow_units.ActionModule):
    """The action, and what its units say each time that they are looked at. What is in O(changes) differs in the first unit."""

    def __init__(self, looks: list[dict[str, Any]], **changes: Any) -> None:
        given = {"timeout": 100, "seconds": 0.0, "restarts": -1}
        units = [{"name": name, "unit": f"vllm-{name}.service", "label": f"Start of {name}", **given} for name in "ab"]
        units[0].update(changes)
        self._task = SimpleNamespace(_uuid="t", check_mode=False, args={"units": units})
        self.looks, self.asked = iter(looks), []

    def validate_argument_spec(self, argument_spec: dict[str, Any]) -> tuple[None, dict[str, Any]]:
        return None, {**{name: option.get("default") for name, option in argument_spec.items()}, **self._task.args}

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(module_args["units"])
        return {"units": {f"vllm-{name}.service": status for name, status in next(self.looks).items()}}

    def follow(self) -> dict[str, Any]:
        return self.run(None, {"inventory_hostname": "h"})


class Lost(Followed):
    """Its connection breaks at the first look."""

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if not self.asked:
            self.asked.append(module_args["units"])
            raise AnsibleConnectionFailure("no route")
        return super()._execute_module(module_name, module_args, task_vars)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(follow_units.ActionModule.__mro__[1], "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(follow_units.time, "sleep", lambda seconds: None)


def test_the_first_that_fails_is_reported_while_the_other_starts() -> None:
    """And the other's restarts are known for the next call."""
    found = Followed([{"a": WAITS, "b": WAITS}, {"a": WAITS, "b": FELL}]).follow()
    [over] = found["results"]
    assert over["item"]["name"] == "b" and over["error"] == "Start of b failed: ValueError: no" and over["seconds"] >= 0
    assert [(unit["name"], unit["restarts"]) for unit in found["waiting"]] == [("a", 2)]


def test_what_has_ended_together_is_reported_together() -> None:
    found = Followed([{"a": SERVES, "b": FELL}]).follow()
    assert [(one["item"]["name"], "error" in one) for one in found["results"]] == [("a", False), ("b", True)] and found["waiting"] == []


def test_restarts_of_the_beginning_stay() -> None:
    """A unit that restarts meanwhile has failed, so the number of the first look counts."""
    action = Followed([{"a": WAITS, "b": WAITS}, {"a": {**WAITS, "restarts": 3}, "b": WAITS}, {"a": SERVES, "b": WAITS}])
    action.follow()
    assert [[unit["restarts"] for unit in units] for units in action.asked] == [[-1, -1], [2, 2], [2, 2]]


def test_restarts_that_an_earlier_call_has_seen_stay() -> None:
    action = Followed([{"a": SERVES, "b": WAITS}], restarts=7)
    action.follow()
    assert [unit["restarts"] for unit in action.asked[0]] == [7, -1]


def test_a_unit_that_takes_too_long_is_reported_while_the_other_starts() -> None:
    """By its own timeout. The seconds of earlier calls count; those of the other go on."""
    found = Followed([{"a": WAITS, "b": WAITS}], seconds=100.0).follow()
    [over] = found["results"]
    assert over["item"]["name"] == "a" and "vllm-a.service has not ended after 100 s (starting: loading weights, 43 %)" in over["error"]
    assert over["seconds"] == 100.0 and 0 < found["waiting"][0]["seconds"] < 10


def test_a_task_does_not_outlive_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the run is killed, init adopts its tasks."""
    parents = iter([100, 1])
    monkeypatch.setattr(follow_units.os, "getppid", lambda: next(parents))
    found = Followed([{"a": WAITS, "b": WAITS}]).follow()
    assert [one["error"].partition(": ")[2] for one in found["results"]] == ["stopped waiting, because the run has ended; the unit continues on the host"] * 2


def test_a_lost_connection_is_no_failure() -> None:
    """Nothing is known of the units meanwhile, nor of their restarts."""
    action = Lost([{"a": WAITS, "b": FELL}])
    assert [one["item"]["name"] for one in action.follow()["results"]] == ["b"]
    assert [unit["restarts"] for unit in action.asked[1]] == [-1, -1]


def test_progress_is_shown_for_each_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(follow_units.display, "display", lines.append)
    Followed([{"a": WAITS, "b": {**WAITS, "status": ""}}, {"a": SERVES, "b": WAITS}]).follow()
    assert lines == ["  h: Start of a: starting: loading weights, 43 % (0 s)", "  h: Start of b: activating (0 s)"]


def test_a_later_round_begins_without_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round would have lines otherwise. The next ones come in their turn."""
    lines: list[str] = []
    monkeypatch.setattr(follow_units.display, "display", lines.append)
    action = Followed([{"a": WAITS, "b": WAITS}, {"a": SERVES, "b": WAITS}])
    for unit in action._task.args["units"]:
        unit["seconds"] = 5.0
    action.follow()
    assert lines == []


def test_nothing_is_followed_in_check_mode() -> None:
    action = Followed([])
    action._task.check_mode = True
    assert action.follow()["skipped"] and action.asked == []


@pytest.mark.parametrize("ends", [{"a": FELL, "b": FELL}, {"a": SERVES, "b": WAITS}], ids=["a failure", "a unit of several"])
def test_what_has_to_go_on_ends_the_task_on_other_hosts(ends: dict[str, Any]) -> None:
    """Their own units are waited for still; what has ended there is reported."""
    Followed([ends]).follow()
    found = Followed([{"a": WAITS, "b": WAITS}]).follow()
    assert found["results"] == [] and [unit["name"] for unit in found["waiting"]] == ["a", "b"]
    found = Followed([{"a": SERVES, "b": WAITS}]).follow()
    assert [one["item"]["name"] for one in found["results"]] == ["a"]


@pytest.mark.parametrize(("ends", "task"), [({"a": SERVES, "b": SERVES}, "t"), ({"a": FELL, "b": WAITS}, "the next round")])
def test_nothing_else_ends_it_there(ends: dict[str, Any], task: str) -> None:
    """Not a host of which all units serve, nor what has ended in another round."""
    Followed([ends]).follow()
    action = Followed([{"a": WAITS, "b": WAITS}, {"a": SERVES, "b": WAITS}])
    action._task._uuid = task
    assert [one["item"]["name"] for one in action.follow()["results"]] == ["a"]


def test_a_module_that_fails_fails_the_task() -> None:
    action = Followed([])
    action._execute_module = lambda **given: {"failed": True, "msg": "no python"}  # type: ignore[method-assign]
    assert action.follow() == {"failed": True, "msg": "no python"}
