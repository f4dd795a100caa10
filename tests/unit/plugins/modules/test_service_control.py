# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units that are started, stopped and restarted as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.inferops.gpu.plugins.module_utils import _service, _systemd
from ansible_collections.inferops.gpu.plugins.modules import service_control

UNITS = ["ray-head-a.service", "vllm-a.service"]


def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, active: dict[str, str], check: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """The result, and the calls of systemctl that do something. Units in C(active) exist."""
    import json

    calls: list[str] = []
    for unit in active:
        (tmp_path / unit).write_text("# Managed by inferops.gpu\n")
    monkeypatch.setattr(_service, "UNIT_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_service, "SUPERVISOR_DIRECTORY", str(tmp_path))

    def show(unit: str, *properties: str) -> dict[str, str]:
        return {**dict.fromkeys(properties, ""), "ActiveState": active.get(unit, "inactive"), "LoadState": "loaded" if unit in active else "not-found"}

    monkeypatch.setattr(_systemd, "show", show)
    monkeypatch.setattr(_systemd, "systemctl", lambda *words: calls.append(" ".join(words)) or "")
    with patch_module_args({"units": UNITS, "state": state, "_ansible_check_mode": check}), pytest.raises(SystemExit):
        service_control.main()
    return json.loads(capsys.readouterr().out), [call for call in calls if call.split()[0] in ("start", "stop", "restart")]


BOTH = dict.fromkeys(UNITS, "active")


@pytest.mark.parametrize(("state", "active", "expected"), [
    ("stopped", BOTH, ["stop vllm-a.service", "stop ray-head-a.service"]),
    ("stopped", {**BOTH, UNITS[0]: "failed"}, ["stop vllm-a.service"]),
    ("started", {**BOTH, UNITS[0]: "failed"}, ["start --no-block ray-head-a.service"]),
    ("started", dict.fromkeys(UNITS, "activating"), []),
    ("started", dict.fromkeys(UNITS, "inactive"), ["start --no-block ray-head-a.service", "start --no-block vllm-a.service"]),
    ("restarted", BOTH, ["restart --no-block ray-head-a.service", "restart --no-block vllm-a.service"]),
])
def test_units_change_in_their_order(
    state: str, active: dict[str, str], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only those that have to; check mode says the same and does nothing."""
    result, calls = run(tmp_path, monkeypatch, capsys, state, active)
    assert calls == expected and result["changed"] is bool(expected)
    checked, calls = run(tmp_path, monkeypatch, capsys, state, active, check=True)
    assert checked["units"] == result["units"] and calls == []


def test_a_unit_of_others_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result, calls = run(tmp_path, monkeypatch, capsys, "stopped", {UNITS[0]: "active"})
    assert result["failed"] and result["msg"].startswith("vllm-a.service: the host has no unit of this name") and calls == []
