# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was changed outside: files against the last known good state, permissions, drop-ins, what systemd has not loaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _host, _last_known_good, _service
from ansible_collections.inferops.gpu.plugins.module_utils._status import drift, manager

UNIT = "vllm-a.service"
LOADED = manager.State("loaded", "active", "running", "success", "serving", "enabled", "", 1, 0, None, False, ())
SECRET = "VLLM_API_KEY=s3cr3t\n"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A deployed service whose state was recorded."""
    monkeypatch.setattr(_host, "UNIT_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_service, "UNIT_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_service, "RECORD_DIRECTORY", str(tmp_path / "run"))
    for name, text, mode in ((UNIT, "[Service]\n", 0o644), ("a.env", SECRET, 0o600)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(mode)
    record = drift.record_of(str(tmp_path), str(tmp_path / "a.env"))
    _last_known_good.write(record, _last_known_good.of_disk("a", str(tmp_path / UNIT), str(tmp_path / "a.env"), "r", "/r", "/w"))
    return tmp_path


def whats(host: Path, state: manager.State = LOADED) -> list[str]:
    found = drift.changes(UNIT, state, str(host / "a.env"), drift.record_of(str(host), str(host / "a.env")))
    assert all("s3cr3t" not in text for change in found for text in change.values())
    return [change["what"] for change in found]


def test_nothing_has_changed(host: Path) -> None:
    assert whats(host) == []
    # A service that has never passed the health gate has no record.
    (host / "served" / "a.json").unlink()
    assert whats(host) == []


def test_files_that_differ(host: Path) -> None:
    (host / UNIT).write_text("[Service]\nNice=5\n", encoding="utf-8")
    (host / "a.env").write_text(SECRET + "X=1\n", encoding="utf-8")
    assert whats(host) == ["environment_file", "unit_file"]
    assert "health gate (20" in (text := drift.changes(UNIT, LOADED, str(host / "a.env"), str(host / "served" / "a.json"))[0]["text"]) and " UTC)" in text
    assert drift.changes(UNIT, LOADED, "/other.env", str(host / "served" / "a.json"))[0]["what"] == "environment_file"


def test_permissions(host: Path) -> None:
    (host / "a.env").chmod(0o644)
    (host / UNIT).chmod(0o666)
    assert whats(host) == ["unit_file_mode", "environment_file_mode"]
    (host / "a.env").unlink()
    assert whats(host) == ["environment_file", "unit_file_mode", "environment_file_mode"]
    (host / "a.env").symlink_to("/etc/passwd")
    assert "environment_file_mode" in whats(host)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"needs_reload": True}, ["daemon_reload"]),
        ({"drop_ins": ("/etc/systemd/system/vllm-a.service.d/x.conf", "/usr/lib/systemd/system/service.d/y.conf")}, ["drop_in"]),
        ({"enabled": "disabled"}, ["not_enabled"]),
        ({"enabled": ""}, ["not_enabled"]),
    ],
)
def test_what_systemd_says(host: Path, changes: dict[str, object], expected: list[str]) -> None:
    assert whats(host, dataclasses.replace(LOADED, **changes)) == expected


def test_a_process_with_other_files(host: Path) -> None:
    """Its unit has recorded the checksums at its start. A stopped one has no process."""
    (host / "run").mkdir()
    (host / "run" / f"{UNIT}.started").write_text("older\n", encoding="utf-8")
    assert whats(host) == ["restart_pending"]
    assert whats(host, dataclasses.replace(LOADED, active="inactive")) == []
    lines = "".join(f"{_service.checksum(str(host / name))}  {host / name}\n" for name in (UNIT, "a.env"))
    (host / "run" / f"{UNIT}.started").write_text(lines + "NeedDaemonReload=no\n", encoding="utf-8")
    assert whats(host) == []
