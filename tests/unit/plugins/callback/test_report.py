# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tables at the end of a run: what serves where, and which role took how long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.callback import report

ROW = {
    "service": "a", "host": "gpu1", "state": "serving", "endpoint": "http://192.0.2.1:8001/v1", "model": "a", "catalogue": "entry", "repo": "org/repo",
    "revision": "1" * 40, "release": "vllm-1-ab", "action": "none", "changed": False, "seconds_to_ready": None, "tokens_per_second": 41.26,
}


@pytest.fixture(name="run")
def _run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A callback with a clock that is set by hand, and what it prints."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(report.time, "monotonic", lambda: clock.now)
    callback = report.CallbackModule()
    printed: list[str] = []
    callback._display = SimpleNamespace(display=printed.append)
    return SimpleNamespace(callback=callback, clock=clock, printed=printed)


def task(role: str | None) -> Any:
    return SimpleNamespace(_role=None if role is None else SimpleNamespace(get_name=lambda: role))


def stats(rows: Any) -> Any:
    return SimpleNamespace(custom={"_run": {"inferops_result": rows}} if rows is not None else {})


def test_tables(run: Any) -> None:
    for role, seconds in (("inferops.gpu.host", 2.0), ("inferops.gpu.vllm", 40.0), (None, 5.0), ("inferops.gpu.host", 1.0), ("inferops.gpu.kernel", 0.01)):
        run.callback.v2_playbook_on_task_start(task(role), False)
        run.clock.now += seconds
    gone = {"service": "b", "host": "gpu1", "state": "removed", "endpoint": None}
    run.callback.v2_playbook_on_stats(stats([ROW, gone]))
    assert run.printed == [
        "",
        "service  host  state    endpoint                  release    model revision         tokens/s",
        "a        gpu1  serving  http://192.0.2.1:8001/v1  vllm-1-ab  org/repo@111111111111  41.3",
        "b        gpu1  removed  -                         -          -                      -",
        "\nseconds: host 3.0, vllm 40.0, 48.0 in all",
    ]


@pytest.mark.parametrize("rows", [None, []])
def test_other_playbooks_end_as_before(run: Any, rows: Any) -> None:
    run.callback.v2_playbook_on_stats(stats(rows))
    assert run.printed == []
