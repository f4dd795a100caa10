# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the callback records of a run: changed and failed tasks with the labels of their items, and nothing that no_log hides."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.callback import run_record
from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report.recorder import RECORD


@pytest.fixture(name="callback")
def _callback() -> Iterator[Any]:
    callback = run_record.CallbackModule()
    callback.v2_playbook_on_start(SimpleNamespace(_file_name="/srv/site.yml"))
    yield callback
    RECORD.start("")
    RECORD.active = False


def task(name: str = "files | Write", role: str | None = "inferops.gpu.kernel", no_log: bool = False) -> Any:
    own = None if role is None else SimpleNamespace(get_name=lambda: role)
    return SimpleNamespace(_role=own, no_log=no_log, get_name=lambda: f"inferops.gpu.kernel : {name}" if role else name)


def result(data: dict[str, Any], host: str = "gpu1", of: Any = None) -> Any:
    return SimpleNamespace(result=data, host=SimpleNamespace(get_name=lambda: host), task=of or task())


def test_changes(callback: Any) -> None:
    callback.v2_runner_on_ok(result({"changed": False}))
    callback.v2_runner_on_ok(result({"changed": True}))
    rows = [{"changed": True, "_ansible_item_label": "a"}, {"changed": False, "_ansible_item_label": "b"}, {"changed": True, "_ansible_item_label": "c"}]
    callback.v2_runner_on_ok(result({"changed": True, "results": rows}, "gpu2", task("Write", None)))
    assert RECORD.active and RECORD.playbook == "/srv/site.yml"
    assert RECORD.changed == {
        "gpu1": [{"task": "files | Write", "role": "kernel", "items": []}], "gpu2": [{"task": "Write", "role": "", "items": ["a", "c"]}],
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"failed": True, "msg": "no space"}, "no space"),
        ({"failed": True, "msg": "One or more items failed", "results": [{"failed": True, "msg": "a"}, {"msg": "b"}, {"failed": True, "msg": "c"}]}, "a\nc"),
        ({"failed": True}, "failed without a message"),
        ({"failed": True, "msg": "secret", "_ansible_no_log": True}, "(hidden by no_log)"),
        ({"failed": True, "msg": "items", "results": [{"failed": True, "msg": "secret", "_ansible_no_log": True}]}, "items"),
        ({"failed": True, "msg": "x" * 9000}, "x" * 4000),
    ],
)
def test_messages(callback: Any, data: dict[str, Any], message: str) -> None:
    callback.v2_runner_on_failed(result(data))
    assert [one["message"] for one in RECORD.failed["gpu1"]] == [message]


def test_labels_of_a_task_with_no_log_are_hidden(callback: Any) -> None:
    callback.v2_runner_on_ok(result({"changed": True, "results": [{"changed": True, "_ansible_item_label": "secret"}]}, of=task(no_log=True)))
    assert RECORD.changed["gpu1"][0]["items"] == []


def test_ignored_failures_are_none(callback: Any) -> None:
    callback.v2_runner_on_failed(result({"failed": True, "msg": "m"}), ignore_errors=True)
    assert RECORD.failed == {}


def test_unreachable(callback: Any) -> None:
    callback.v2_runner_on_unreachable(result({"unreachable": True, "msg": "No route to host"}))
    assert RECORD.unreachable == {"gpu1"} and RECORD.failed["gpu1"][0]["message"] == "No route to host"


def test_seconds_of_roles(callback: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(run_record.time, "monotonic", lambda: clock.now)
    for role, seconds in (("inferops.gpu.host", 2.0), ("inferops.gpu.vllm", 40.0), (None, 5.0), ("inferops.gpu.host", 1.0), ("inferops.gpu.kernel", 1.0)):
        callback.v2_playbook_on_task_start(task(role=role), False)
        clock.now += seconds
    assert RECORD.role_seconds == {"host": 3.0, "vllm": 40.0}
