# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last known good state of a service: recorded whole, root's alone, and restored as it was."""

from __future__ import annotations

import json
import os

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _last_known_good, _service, _systemd, _writing
from ansible_collections.inferops.gpu.plugins.modules import service_last_known_good

UNIT = "# Managed by inferops.gpu\n# former\n"
SECRETS = 'KEY="a$b"\r\n'


class Host:
    """A service's files below a folder, on a release and weights that are there; what systemctl was told, and what stood on the disk then."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_service, "UNIT_DIRECTORY", str(base))
        monkeypatch.setattr(_service, "RECORD_DIRECTORY", str(base))
        monkeypatch.setattr(_systemd, "show", lambda unit, *properties: {**dict.fromkeys(properties, ""), "InvocationID": "i1"})
        monkeypatch.setattr(_systemd, "systemctl", self.systemctl)
        self.unit, self.environment, self.record = base / "vllm-a.service", base / "a.env", base / "served" / "a.json"
        self.stamp = base / "stamp"
        self.release, self.weights = base / "release", base / "weights"
        for folder in (self.release, self.weights):
            folder.mkdir()
        (self.release / "release.json").touch()
        self.calls: list[tuple[str, str]] = []
        self.unit.write_text(UNIT)
        self.environment.write_bytes(SECRETS.encode())

    def systemctl(self, *arguments: str) -> str:
        self.calls.append((arguments[0], "former" if self.unit.read_text() == UNIT else "new"))
        return ""

    def keep(self) -> None:
        found = _last_known_good.of_disk("a", str(self.unit), str(self.environment), "r1", str(self.release), str(self.weights))
        _last_known_good.write(str(self.record), found)

    def change(self) -> None:
        self.unit.write_text("# Managed by inferops.gpu\n# new\n")
        self.environment.write_text("KEY=2\n")

    def item(self) -> dict[str, Any]:
        released = {"release": "r1", "release_path": str(self.release), "weights_path": str(self.weights)}
        return {
            "name": "a", "unit": "vllm-a.service", "environment_file": str(self.environment), "served": str(self.record), "own_folders": [], **released,
            "arguments": {"stamp": str(self.stamp), "digest": "d1"},
        }

    def passed(self) -> None:
        """What follows an answer of the service; the process runs what is on the disk."""
        self.passed_files()
        self.mark()

    def passed_files(self) -> None:
        """The process runs what is on the disk."""
        service = _service.Service("vllm-a.service", str(self.environment), None, "present")
        lines = [f"{_service.checksum(str(path))}  {path}\n" for path in (self.unit, self.environment)]
        Path(service.started_record).write_text("".join(lines) + "NeedDaemonReload=no\n")

    def mark(self) -> None:
        service_last_known_good.record(self.item())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_what_passed_is_kept_for_root_alone(host: Host) -> None:
    host.passed()
    kept = _last_known_good.load(str(host.record))
    assert kept is not None and not kept.differs() and kept.release == "r1" and kept.environment_text == SECRETS
    assert os.stat(host.record).st_mode & 0o777 == 0o600
    assert [path.name for path in host.record.parent.iterdir()] == ["a.json"]


def test_what_passed_has_good_arguments(host: Host) -> None:
    """Unless the answer came from a process that runs other files than those on the disk."""
    host.passed()
    assert host.stamp.read_text() == "d1" and os.stat(host.stamp).st_mode & 0o777 == 0o644
    host.stamp.unlink()
    host.change()
    host.mark()
    assert not host.stamp.exists()


def test_the_former_state_stays_until_the_new_one_has_passed(host: Host) -> None:
    """The answer came from a process that runs other files than those on the disk: nothing is known about these."""
    host.passed()
    before = host.record.read_text()
    host.change()
    host.mark()
    assert host.record.read_text() == before
    host.passed()
    assert host.record.read_text() != before


def test_a_run_that_dies_between_keeping_and_marking_is_followed_by_a_check(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    service = _service.Service("vllm-a.service", str(host.environment), None, "present", str(host.record))
    host.passed()
    assert service.was_checked() and service.is_kept()
    host.record.unlink()
    assert service.was_checked() and not service.is_kept()


def test_going_back_puts_both_files_back_after_the_stop(host: Host) -> None:
    host.keep()
    host.change()
    done = service_last_known_good.restore(host.item(), service_last_known_good.last_known_good, check_mode=False)
    assert (done["action"], done["release"]) == ("restored", "r1")
    assert host.unit.read_text() == UNIT and host.environment.read_bytes() == SECRETS.encode()
    assert (os.stat(host.unit).st_mode & 0o777, os.stat(host.environment).st_mode & 0o777) == (0o644, 0o600)
    assert [call for call in host.calls if call[0] in ("stop", "daemon-reload", "start")] == [("stop", "new"), ("daemon-reload", "former"), ("start", "former")]


def with_adapters(host: Host, unit: str, text: str) -> Path:
    """The unit's engine follows a file with this text."""
    file = host.unit.parent / "adapters" / "a.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    host.unit.write_text(f'# Managed by inferops.gpu\n# {unit}\nEnvironment=INFEROPS_LORA_ADAPTERS={file}\n')
    return file


def test_the_adapters_go_back_with_the_unit(host: Host) -> None:
    file = with_adapters(host, "former", "of the former model")
    host.passed()
    with_adapters(host, "new", "of the new model")
    done = service_last_known_good.restore(host.item(), service_last_known_good.last_known_good, check_mode=False)
    assert done["action"] == "restored" and file.read_text() == "of the former model" and os.stat(file).st_mode & 0o777 == 0o644


def test_adapters_that_changed_without_a_restart_are_those_to_return_to(host: Host) -> None:
    """They make no state of their own, and neither does a file that belongs to a unit that has not passed."""
    file = with_adapters(host, "former", "one")
    host.passed()
    file.write_text("two")
    _last_known_good.keep_adapters(str(host.record))
    kept = _last_known_good.load(str(host.record))
    assert kept is not None and (kept.adapters_text, kept.adapters_file) == ("two", str(file)) and _last_known_good.earlier(str(host.record)) == []
    assert os.stat(host.record).st_mode & 0o777 == 0o600
    with_adapters(host, "new", "three")
    _last_known_good.keep_adapters(str(host.record))
    service_last_known_good.restore(host.item(), service_last_known_good.last_known_good, check_mode=False)
    assert file.read_text() == "two"


def test_one_state_back_has_its_own_adapters(host: Host) -> None:
    file = with_adapters(host, "former", "one")
    host.passed()
    with_adapters(host, "new", "two")
    host.passed()
    done = service_last_known_good.restore(host.item(), service_last_known_good.one_back, check_mode=False)
    assert done["action"] == "restored" and file.read_text() == "one"


def test_a_record_of_an_earlier_version_leaves_the_adapters(host: Host) -> None:
    """It has none, and a unit may follow no file."""
    file = with_adapters(host, "former", "one")
    host.passed()
    found = json.loads(host.record.read_text())
    host.record.write_text(json.dumps({key: value for key, value in found.items() if not key.startswith("adapters")}))
    with_adapters(host, "new", "two")
    done = service_last_known_good.restore(host.item(), service_last_known_good.last_known_good, check_mode=False)
    assert done["action"] == "restored" and file.read_text() == "two"
    # It gets them when the engine serves its adapters the next time.
    _last_known_good.keep_adapters(str(host.record))
    kept = _last_known_good.load(str(host.record))
    assert kept is not None and kept.adapters_text == "two"


def test_check_mode_changes_nothing(host: Host) -> None:
    host.keep()
    host.change()
    assert service_last_known_good.restore(host.item(), service_last_known_good.last_known_good, check_mode=True)["action"] == "restored"
    assert host.calls == [] and "new" in host.unit.read_text()


def test_a_service_that_never_passed_is_stopped_and_disabled(host: Host) -> None:
    done = service_last_known_good.restore(host.item(), service_last_known_good.last_known_good, check_mode=False)
    assert done == {"action": "stopped", "why": "it has never passed the health gate on this host"}
    assert [name for name, _files in host.calls] == ["stop", "disable"]


def test_what_served_before_is_left_to_systemd(host: Host) -> None:
    """The same files fail that served before: a GPU is taken, a disk full. There is nothing to go back to."""
    host.keep()
    assert service_last_known_good.restore(host.item(), service_last_known_good.last_known_good, check_mode=False)["action"] == "unchanged"
    assert host.calls == []


def test_a_service_that_cannot_be_restored_does_not_keep_the_others(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither unchanged, so that nobody looks whether it hangs, nor restored."""
    host.keep()
    host.change()
    monkeypatch.setattr(_last_known_good.State, "restore", lambda _state: (_ for _ in ()).throw(OSError("disk full")))
    done = service_last_known_good.restore_all([host.item(), {**host.item(), "name": "b", "served": "/no/such"}], service_last_known_good.last_known_good, check_mode=False)
    assert done["outcomes"]["a"] == {"action": "failed", "why": "the rollback failed: disk full"}
    assert (done["outcomes"]["b"]["action"], done["restored"], done["changed"]) == ("stopped", [], True)
    assert done["diff"] == {"before": {"b": "failed"}, "after": {"b": "stopped"}}


@pytest.mark.parametrize("gone", ["release", "weights"])
def test_without_the_former_release_or_weights_nothing_is_put_back(host: Host, gone: str) -> None:
    host.keep()
    host.change()
    if gone == "release":
        (host.release / "release.json").unlink()
    else:
        host.weights.rmdir()
    done = service_last_known_good.restore(host.item(), service_last_known_good.last_known_good, check_mode=False)
    assert done["action"] == "stopped" and gone in done["why"]
    assert "new" in host.unit.read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"service": "a"}', '{"other": 1}'])
def test_a_record_that_cannot_be_read_is_none(host: Host, text: str) -> None:
    host.record.parent.mkdir()
    host.record.write_text(text)
    assert _last_known_good.load(str(host.record)) is None


def test_a_failed_write_leaves_the_former_file_and_nothing_beside_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", lambda _new, _path: (_ for _ in ()).throw(OSError("disk full")))
    before = sorted(os.listdir(host.unit.parent))
    with pytest.raises(OSError, match="disk full"):
        _writing.replace(str(host.unit), "other")
    assert host.unit.read_text() == UNIT and sorted(os.listdir(host.unit.parent)) == before


def test_what_a_dead_write_has_left_is_written_over(host: Host) -> None:
    left = host.environment.parent / "a.env.new"
    left.write_text("half")
    left.chmod(0o644)
    _writing.replace(str(host.environment), "KEY=3\n", 0o600)
    assert host.environment.read_text() == "KEY=3\n" and not left.exists() and os.stat(host.environment).st_mode & 0o777 == 0o600


def changed_and_passed(host: Host, text: str) -> None:
    """Another unit passes the health gate."""
    host.unit.write_text(f"# Managed by inferops.gpu\n# {text}\n")
    host.passed()


def unit_texts(states: list[_last_known_good.State]) -> list[str]:
    return [state.unit_text.splitlines()[1] for state in states]


def test_earlier_states_are_kept_for_root_alone(host: Host) -> None:
    """The latest first, a few of them, each once, and under no name that keeps a release from being pruned."""
    host.passed()
    for text in ("b", "c", "b", "d", "e"):
        changed_and_passed(host, text)
    path = str(host.record)
    assert unit_texts(_last_known_good.earlier(path)) == ["# d", "# b", "# c"]
    earlier = Path(_last_known_good.earlier_file(path))
    assert os.stat(earlier).st_mode & 0o777 == 0o600 and earlier.suffix != ".json"


def revert(host: Host) -> dict[str, Any]:
    return service_last_known_good.restore_all([host.item()], service_last_known_good.one_back, False)


def test_an_operator_goes_one_state_back_and_forth(host: Host) -> None:
    """Twice is where it began; a change that has not passed goes back to the last known good state."""
    host.passed()
    changed_and_passed(host, "b")
    host.change()
    assert revert(host)["outcomes"]["a"]["action"] == "restored" and "# b" in host.unit.read_text()
    assert revert(host)["outcomes"]["a"]["action"] == "restored" and host.unit.read_text() == UNIT
    # The release is that of the state's record.
    item = {**host.item(), "release": "", "release_path": "", "weights_path": ""}
    host.passed_files()
    service_last_known_good.record(item)
    kept = _last_known_good.load(str(host.record))
    assert kept is not None and kept.release == "r1" and kept.unit_text == UNIT
    assert revert(host)["outcomes"]["a"]["action"] == "restored" and "# b" in host.unit.read_text()


def test_without_an_earlier_state_nothing_is_touched(host: Host) -> None:
    """Not even stopped: it serves."""
    host.passed()
    host.calls.clear()
    found = revert(host)
    assert found["outcomes"]["a"] == {"action": "unchanged", "why": "this host has no state from before the last known good one"} and host.calls == []


def test_an_earlier_state_whose_release_is_gone_is_not_restored(host: Host) -> None:
    host.passed()
    changed_and_passed(host, "b")
    (host.release / "release.json").unlink()
    host.calls.clear()
    assert revert(host)["outcomes"]["a"]["action"] == "unchanged" and "# b" in host.unit.read_text() and host.calls == []


def test_a_state_that_one_replica_alone_has_had_is_forgotten(host: Host) -> None:
    """No later rollback returns to it."""
    host.passed()
    changed_and_passed(host, "b")
    changed_and_passed(host, "c")
    assert revert(host)["restored"] == ["a"]
    _last_known_good.abandon(str(host.record))
    kept = _last_known_good.load(str(host.record))
    assert kept is not None and not kept.differs() and unit_texts(_last_known_good.earlier(str(host.record))) == ["# former"]
