# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service's unit needs, from what systemd says and what stands on the disk."""

from __future__ import annotations

import hashlib

from pathlib import Path

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _service, _systemd
from ansible_collections.inferops.gpu.plugins.modules import unit_status

RUNNING = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "UnitFileState": "enabled", "InvocationID": "i1"}


class Lab:
    """A unit's files below a folder, and what systemd would say of it."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found = dict(RUNNING)
        self.calls: list[tuple[str, ...]] = []
        monkeypatch.setattr(_service, "UNIT_DIRECTORY", str(base))
        monkeypatch.setattr(_service, "RECORD_DIRECTORY", str(base))
        monkeypatch.setattr(_service, "SUPERVISOR_DIRECTORY", str(base / "supervisor"))
        monkeypatch.setattr(_systemd, "show", lambda unit, *properties: {name: self.found.get(name, "") for name in properties})
        monkeypatch.setattr(_systemd, "systemctl", lambda *arguments: self.calls.append(arguments) or "")
        self.service = _service.Service("vllm-a.service", str(base / "a.env"), str(base / "cache"), "present")
        self.unit = Path(self.service.path)
        self.environment = base / "a.env"
        self.unit.write_text("# Managed by inferops.gpu\n")
        self.environment.write_text("A=1\n")
        self.start()

    def start(self, reload_needed: str = "no") -> None:
        """Write the record as the unit's ExecStartPre does."""
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}\n" for path in (self.unit, self.environment)]
        Path(self.service.started_record).write_text("".join(lines) + f"NeedDaemonReload={reload_needed}\n")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, monkeypatch)


def test_what_runs_its_current_files_is_left_alone(lab: Lab) -> None:
    assert lab.service.needed_action(start=True) == "none"


def test_a_changed_unit_or_environment_restarts(lab: Lab) -> None:
    lab.unit.write_text("# Managed by inferops.gpu\n# other\n")
    assert lab.service.needed_action(start=True) == "restart"
    lab.start()
    lab.environment.write_text("A=2\n")
    assert lab.service.needed_action(start=True) == "restart"


def test_a_start_with_an_old_unit_in_memory_does_not_count(lab: Lab) -> None:
    lab.start(reload_needed="yes")
    assert lab.service.needed_action(start=True) == "restart"


@pytest.mark.parametrize(
    ("found", "start", "expected"),
    [
        ({"ActiveState": "inactive"}, True, "start"),
        ({"ActiveState": "failed"}, True, "start"),
        ({"ActiveState": "inactive"}, False, "none"),
        ({"ActiveState": "inactive", "UnitFileState": "disabled"}, False, "enable"),
        ({"UnitFileState": "disabled"}, True, "enable"),
        ({"ActiveState": "activating", "SubState": "start-post"}, True, "none"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, True, "restart"),
    ],
)
def test_states(lab: Lab, found: dict[str, str], start: bool, expected: str) -> None:
    lab.found.update(found)
    assert lab.service.needed_action(start=start) == expected


def test_a_start_is_checked_once(lab: Lab) -> None:
    assert not lab.service.was_checked()
    Path(lab.service.checked_record).write_text("i1")
    assert lab.service.was_checked()
    lab.found["InvocationID"] = "i2"
    assert not lab.service.was_checked()


@pytest.mark.parametrize(("found", "stays"), [("active", True), ("activating", False), ("failed", False), ("inactive", False)])
def test_a_start_does_not_back_off_for_what_failed_before(lab: Lab, found: str, stays: bool) -> None:
    """For example after a rollback, while systemd waits before it starts the failed change once more. One that serves has no failures."""
    state = Path(lab.service.supervisor_folder) / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text('{"failed": 7}')
    lab.found["ActiveState"] = found
    lab.service.do("enable")
    assert state.exists()
    lab.service.do("restart")
    assert state.exists() is stays and ("restart", "--no-block", "vllm-a.service") in lab.calls


def test_an_absent_service_loses_its_files_and_nothing_else(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    Path(lab.service.supervisor_folder).mkdir(parents=True)
    other = tmp_path / "vllm-b.service"
    other.touch()
    lab.service.state = "absent"
    assert lab.service.needed_action(start=True) == "remove"
    lab.service.do("remove")
    assert not lab.unit.exists() and not lab.environment.exists() and not (tmp_path / "cache").exists() and other.exists()
    assert not Path(lab.service.supervisor_folder).exists() and (tmp_path / "supervisor").exists()
    assert ("disable", "--quiet", "--now", "vllm-a.service") in lab.calls
    lab.found["LoadState"] = "not-found"
    assert lab.service.needed_action(start=True) == "none"


@pytest.mark.parametrize(("state", "told"), [("failed", True), ("inactive", False)])
def test_a_removed_service_leaves_no_failed_name(lab: Lab, state: str, told: bool) -> None:
    """systemctl fails when it is told to forget a failure of a unit that it has already unloaded."""
    lab.found["ActiveState"] = state
    lab.service.do("remove")
    assert (("reset-failed", "vllm-a.service") in lab.calls) is told


def test_a_unit_of_somebody_else_is_seen(lab: Lab) -> None:
    assert not lab.service.is_unmanaged()
    lab.unit.write_text("[Service]\nExecStart=/usr/bin/mine\n")
    assert lab.service.is_unmanaged()


@pytest.mark.parametrize(
    ("active", "sub", "restarts", "before", "expected"),
    [
        ("activating", "auto-restart", 1, -1, True),
        ("activating", "start-post", 1, 0, True),
        ("activating", "start-post", 1, 1, False),
        ("activating", "start-post", 3, -1, False),
        # It fell last week and serves now.
        ("active", "running", 1, 0, False),
    ],
)
def test_a_unit_that_restarts_is_told_from_one_that_has_failed(active: str, sub: str, restarts: int, before: int, expected: bool) -> None:
    assert unit_status.has_failed(active, sub, restarts, before) is expected
