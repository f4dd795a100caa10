# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module service_state as Ansible calls it, about units that are to be left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.inferops.gpu.plugins.module_utils import _service, _systemd
from ansible_collections.inferops.gpu.plugins.modules import service_state

STOPPED = {"LoadState": "loaded", "ActiveState": "inactive", "SubState": "dead", "UnitFileState": "enabled", "InvocationID": ""}


def test_held_units_are_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever they need; the others get it. Nothing of them counts as a change, and nobody waits for them."""
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(_service, "UNIT_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_service, "RECORD_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_systemd, "show", lambda unit, *properties: {name: STOPPED.get(name, "") for name in properties})
    monkeypatch.setattr(_systemd, "systemctl", lambda *arguments: calls.append(arguments) or "")
    rows = [{"unit": f"vllm-{name}.service", "environment_file": str(tmp_path / name)} for name in ("old", "new")]
    results: list[dict[str, Any]] = []
    for held in (["vllm-old.service", "vllm-new.service"], ["vllm-old.service"]):
        with patch_module_args({"services": rows, "held": held}), pytest.raises(SystemExit):
            service_state.main()
        results.append(json.loads(capsys.readouterr().out))
        if len(results) == 1:
            assert calls == []
    assert (results[0]["changed"], results[0]["actions"], results[0]["waiting"]) == (False, dict.fromkeys(("vllm-old.service", "vllm-new.service"), "held"), [])
    assert results[1]["actions"] == {"vllm-new.service": "start", "vllm-old.service": "held"} and results[1]["waiting"] == ["vllm-new.service"]
    assert {arguments[-1] for arguments in calls} == {"vllm-new.service"}


def test_restarts_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In check mode those that would be: what runs with other files than those on the disk, and nothing that is only started."""
    running = {**STOPPED, "ActiveState": "active", "SubState": "running"}
    monkeypatch.setattr(_service, "UNIT_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_service, "RECORD_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_systemd, "show", lambda unit, *properties: {name: (running if "old" in unit else STOPPED).get(name, "") for name in properties})
    items = [{"unit": f"vllm-{name}.service", "environment_file": str(tmp_path / name)} for name in ("old", "new")]
    with patch_module_args({"services": items, "_ansible_check_mode": True}), pytest.raises(SystemExit):
        service_state.main()
    result = json.loads(capsys.readouterr().out)
    assert (result["restarts"], result["actions"]["vllm-new.service"]) == (["vllm-old.service"], "start")
