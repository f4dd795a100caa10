# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module service_state as Ansible calls it, about units that are to be left alone."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.inferops.gpu.plugins.module_utils import _service, _systemd
from ansible_collections.inferops.gpu.plugins.modules import service_state

# Of several lines, as environment files are.
TEXT = "# comment\nKEY=s3cr3t\nOTHER=s3cr3t2\n"
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


@pytest.mark.parametrize("check_mode", [False, True])
def test_environment_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], check_mode: bool) -> None:
    """Written for root alone before anything starts, only where they differ; nothing that is printed has what is in them."""
    monkeypatch.setattr(_service, "UNIT_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_service, "RECORD_DIRECTORY", str(tmp_path))
    running = {**STOPPED, "ActiveState": "active", "SubState": "running"}
    monkeypatch.setattr(_systemd, "show", lambda unit, *properties: {name: running.get(name, "") for name in properties})
    files = {name: tmp_path / f"{name}.env" for name in ("same", "open", "new", "held")}
    starts: list[tuple[str, bool]] = []
    monkeypatch.setattr(_systemd, "systemctl", lambda *arguments: starts.append((arguments[0], files["new"].exists())) or "")
    for name in ("same", "open"):
        files[name].write_text(TEXT)
    files["same"].chmod(0o600)
    files["open"].chmod(0o644)
    items = [{"unit": f"vllm-{name}.service", "environment_file": str(path)} for name, path in files.items()]
    environments = [{"unit": f"vllm-{name}.service", "path": str(path), "content": base64.b64encode(TEXT.encode()).decode()} for name, path in files.items()]
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda self, message, *_more, **_keys: logged.append(str(message)))
    arguments = {"services": items, "environments": environments, "held": ["vllm-held.service"], "_ansible_check_mode": check_mode, "_ansible_diff": True}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        service_state.main()
    printed = capsys.readouterr().out
    result = json.loads(printed)
    assert (result["written"], result["changed"]) == ([str(files["open"]), str(files["new"])], True) and "s3cr3t" not in printed
    # What Ansible writes to the journal of each call.
    secret = base64.b64encode(TEXT.encode()).decode()
    assert logged and not [line for line in logged if "s3cr3t" in line or secret in line]
    assert not files["held"].exists() and files["new"].exists() is not check_mode
    modes = {name: path.stat().st_mode & 0o777 for name, path in files.items() if path.exists()}
    assert modes == ({"same": 0o600, "open": 0o644} if check_mode else {"same": 0o600, "open": 0o600, "new": 0o600})
    assert all(there for command, there in starts if command in ("start", "restart"))
    if check_mode:
        assert result["restarts"] == ["vllm-same.service", "vllm-open.service", "vllm-new.service"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_unit_files_are_on_the_disk_before_a_service_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], check_mode: bool
) -> None:
    """Once for all services, and only when one is started: Ansible syncs nothing, and systemd takes an empty unit file for a masked unit."""
    order: list[str] = []
    monkeypatch.setattr(_service, "UNIT_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_service, "RECORD_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_systemd, "show", lambda unit, *properties: {name: STOPPED.get(name, "") for name in properties})
    monkeypatch.setattr(_systemd, "systemctl", lambda *arguments: order.append(arguments[0]) or "")
    monkeypatch.setattr(service_state._writing, "sync_filesystem", lambda folder: order.append(f"sync {folder}"))
    rows = [{"unit": f"vllm-{name}.service", "environment_file": str(tmp_path / name)} for name in ("one", "two")]
    with patch_module_args({"services": rows, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit):
        service_state.main()
    capsys.readouterr()
    syncs = [command for command in order if command.startswith("sync")]
    assert syncs == ([] if check_mode else [f"sync {tmp_path}"])
    assert check_mode or order.index(syncs[0]) < order.index("start")
