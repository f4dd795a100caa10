# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is deployed on a host, read from folders and commands of a host that nobody has."""

from __future__ import annotations

import hashlib
import json

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _deployed_state, _host, _nvidia, _reading

NAME = "vllm-a.service"
SHOWN = f"Id={NAME}\nActiveState=active\nUnitFileState=enabled\n\nId=ray-head-b.service\nActiveState=failed\nUnitFileState=disabled\n"


@pytest.fixture(name="units")
def _units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of units: two of this collection and one of somebody else."""
    folder = tmp_path / "system"
    folder.mkdir()
    for name, text in ((NAME, _host.UNIT_MARK), ("ray-head-b.service", _host.UNIT_MARK), ("vllm-other.service", "[Unit]")):
        (folder / name).write_text(text + "\n", encoding="utf-8")
    monkeypatch.setattr(_host, "UNIT_DIRECTORY", str(folder))
    monkeypatch.setattr(_deployed_state, "DROP_IN_FOLDERS", (str(folder), str(tmp_path / "run")))
    return folder


def test_states_of_units(units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_host, "run", lambda *command: SHOWN)
    assert _deployed_state.units() == {NAME: "active, enabled", "ray-head-b.service": "failed, disabled"}


@pytest.mark.parametrize("said", ["", "Id=vllm-a.service\nActiveState=active\n"])
def test_a_silent_systemctl_is_no_missing_unit(units: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(_host, "run", lambda *command: said)
    with pytest.raises(_deployed_state.Unknown, match="did not answer"):
        _deployed_state.units()


def test_unit_files_and_drop_ins(units: Path) -> None:
    """The digest of the contents, owner and mode; drop-ins, which `systemctl edit` writes, are files of the unit."""
    (units / f"{NAME}.d").mkdir()
    (units / f"{NAME}.d" / "override.conf").write_text("[Service]\n", encoding="utf-8")
    (units / NAME).chmod(0o600)
    found = _deployed_state.unit_files()
    assert sorted(Path(path).name for path in found) == ["override.conf", "ray-head-b.service", NAME]
    digest = hashlib.sha256((_host.UNIT_MARK + "\n").encode()).hexdigest()
    assert found[str(units / NAME)].startswith(f"sha256 {digest}, ") and found[str(units / NAME)].endswith(" 0600")


def test_environment_files_have_no_digest(tmp_path: Path) -> None:
    """A change of the text shows by time and size."""
    path = tmp_path / "a.env"
    path.write_text("KEY=secret\n", encoding="utf-8")
    path.chmod(0o600)
    text = _deployed_state.environment_files(str(tmp_path))[str(path)]
    assert text.startswith("11 bytes of 20") and text.endswith("0600") and hashlib.sha256(b"KEY=secret\n").hexdigest() not in text


def test_releases(tmp_path: Path) -> None:
    """Versions as the build found them, and the digest of the lock file; what is no text counts as unknown."""
    for name, verification in (("vllm-1-a", {"version": "1.0", "torch": "2.13.0", "cuda": None, "python": "3.11.2"}), ("vllm-2-b", ["garbage"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "release.json").write_text(json.dumps({"name": name, "engine": "vllm", "verification": verification, "built": 7}), encoding="utf-8")
    (tmp_path / "vllm-1-a" / "requirements.lock").write_text("torch==2.13.0\n", encoding="utf-8")
    found = _deployed_state.releases(str(tmp_path))
    lock = hashlib.sha256(b"torch==2.13.0\n").hexdigest()
    assert found["vllm-1-a"] == {"engine": "vllm", "version": "1.0", "torch": "2.13.0", "cuda": "", "python": "3.11.2", "lock": lock, "built": 7}
    assert found["vllm-2-b"] == {"engine": "vllm", "version": "", "torch": "", "cuda": "", "python": "", "lock": "", "built": 7}


def test_weights(tmp_path: Path) -> None:
    """A file that has changed since its verification, or a manifest that was replaced, changes the text."""
    folder = tmp_path / "org--a"
    (folder / "main").mkdir(parents=True)
    file = folder / "main" / "x.safetensors"
    file.write_bytes(b"abc")
    files = [{"path": "x.safetensors", "size": 3, "sha256": "0" * 64, "mtime_ns": file.stat().st_mtime_ns}]
    (folder / "main.manifest.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    path = str(folder / "main")
    before = _deployed_state._weights_in(str(tmp_path))[path]
    assert before["unchanged"] and len(before["digest"]) == 64
    file.write_bytes(b"abcd")
    assert _deployed_state._weights_in(str(tmp_path))[path] == {**before, "unchanged": False}
    (folder / "main.manifest.json").write_text("[", encoding="utf-8")
    assert _deployed_state._weights_in(str(tmp_path))[path] == {"digest": "", "unchanged": False}


@pytest.mark.parametrize(("text", "found"), [("32768\t60999\n", (32768, 60999)), ("1024 2048\n", (1024, 2048)), ("", (32768, 60999)), ("x\n", (32768, 60999))])
def test_random_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, found: tuple[int, int]) -> None:
    path = tmp_path / "range"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(_deployed_state, "PORT_RANGE", str(path))
    assert _deployed_state._random_ports() == found


def test_this_machine_has_a_range() -> None:
    """A file of /proc/sys refuses to be read into a large buffer."""
    assert _deployed_state._random_ports() == tuple(int(cell) for cell in Path(_deployed_state.PORT_RANGE).read_text(encoding="ascii").split())


@pytest.fixture(name="options")
def _options(tmp_path: Path) -> dict[str, Any]:
    keys = ("install_dir", "releases_dir", "weights_dir", "state_dir", "config_dir")
    return {**{key: str(tmp_path / key) for key in keys}, "account": "no-such-account", "sysctl": []}


def test_a_bare_host(options: dict[str, Any], units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed: every part is there, and nothing counts as not read."""
    for path in units.iterdir():
        path.unlink()
    monkeypatch.setattr(_nvidia, "read_gpus", lambda: ([], ""))
    found = _deployed_state.read(options)
    assert found["unread"] == {} and found["releases"] == found["weights"] == {}
    assert set(found["state"]) == {
        "system", "gpus", "units", "unit_files", "environment_files", "firewall", "firewall_rules", "sysctl", "kernel", "kernel_files", "releases", "weights",
        "programs", "ports",
    }
    # All are texts, which two readings compare by.
    assert all(isinstance(text, str) for part in found["state"].values() for text in part.values())
    again = _deployed_state.read(options)["state"]
    assert {part: text for part, text in again.items() if part != "ports"} == {part: text for part, text in found["state"].items() if part != "ports"}


def test_what_fails_or_hangs_is_said(options: dict[str, Any], units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts after it are read all the same."""
    monkeypatch.setattr(_nvidia, "read_gpus", lambda: ([], "Driver/library version mismatch"))
    monkeypatch.setattr(_deployed_state, "SECONDS", 0.3)
    monkeypatch.setattr(_deployed_state, "programs", lambda folder: __import__("time").sleep(30))
    # It takes longer on a busy machine.
    monkeypatch.setattr(_deployed_state, "listeners", lambda: [])
    monkeypatch.setattr(_host, "run", lambda *command: "")
    found = _deployed_state.read(options)
    assert found["unread"]["gpus"] == "Driver/library version mismatch" and found["unread"]["units"] == "systemctl show did not answer"
    assert found["unread"]["programs"] == "it did not answer within 0.3 s"
    assert not {"gpus", "units", "programs"} & set(found["state"]) and "ports" in found["state"]


def test_texts_fit_in_json(options: dict[str, Any], units: Path, tmp_path: Path) -> None:
    """A file name that is not UTF-8."""
    (units / f"{NAME}.d").mkdir()
    (units / f"{NAME}.d" / "a\udcff.conf").write_text("", encoding="utf-8")
    json.dumps(_reading.clean(_deployed_state.unit_files()), ensure_ascii=False).encode()
