# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The wait for the adapters of several services: what is recorded, and what is reported."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.inferops.gpu.plugins.module_utils import _adapters, _last_known_good
from ansible_collections.inferops.gpu.plugins.modules import service_adapters

Run = tuple[dict[str, Any], list[str], list[float]]


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refused: tuple[str, ...] = (), **options: Any) -> Run:
    """The result, the records that got the adapters, and the times that engines have. Services in C(refused) do not serve their adapters."""
    kept: list[str] = []
    times: list[float] = []

    def wait(service: dict[str, Any], timeout: float) -> None:
        times.append(timeout)
        if service["name"] in refused:
            raise _adapters.NotLoaded(f"{service['name']} lacks some")

    monkeypatch.setattr(_adapters, "wait", wait)
    monkeypatch.setattr(_last_known_good, "keep_adapters", kept.append)
    services = [
        {"name": name, "unit": f"vllm-{name}.service", "url": "http://127.0.0.1:1", "file": f"/e/{name}.json", "paths": {}, "served": f"/s/{name}.json"}
        for name in ("a", "b", "c")
    ]
    del services[2]["served"]
    with patch_module_args({"state": "loaded", "services": services, **options}), pytest.raises(SystemExit):
        service_adapters.main()
    return json.loads(capsys.readouterr().out), kept, times


def test_what_the_engines_serve_is_recorded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A new engine beside the old one has no record."""
    result, kept, times = run(monkeypatch, capsys, timeout=300)
    assert kept == ["/s/a.json", "/s/b.json"] and times == [300] * 3 and not result["changed"] and result["errors"] == {}


def test_all_services_are_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result, kept, _times = run(monkeypatch, capsys, refused=("a", "c"))
    assert result["failed"] and result["msg"] == "a lacks some\nc lacks some" and kept == ["/s/b.json"]


def test_errors_for_a_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result, kept, _times = run(monkeypatch, capsys, refused=("a",), fail=False)
    assert "failed" not in result and result["errors"] == {"a": "a lacks some"} and kept == ["/s/b.json"]


def test_check_mode_asks_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result, kept, times = run(monkeypatch, capsys, _ansible_check_mode=True)
    assert kept == [] == times and not result["changed"]
