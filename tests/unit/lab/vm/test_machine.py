# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The power switch of the lab's virtual machines: it ends what it started, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[4] / "lab" / "vm" / "machine.py"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lab_vm_machine", PATH)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def machine(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A machine whose processes are sleepers, one the child of the other; without a network."""
    monkeypatch.setattr(program.Machine, "command", lambda _self: ["sh", "-c", "sleep 300 & sleep 300"])
    monkeypatch.setattr(program.Machine, "connect", lambda _self: None)
    found = program.Machine(tmp_path / "machine")
    found.folder.mkdir()
    found.disk.touch()
    yield found
    found.cut()


def test_starts_once_and_is_cut_off_with_all_its_processes(program: ModuleType, machine: Any) -> None:
    assert machine.start({"kind": "uml"}) and machine.running()
    assert not machine.start({"kind": "uml"}), "a second start"
    group = machine.state["pid"]
    assert len(program.alive_in(group)) == 3
    assert machine.cut() and not machine.running()
    assert program.alive_in(group) == []
    assert not machine.cut(), "a second cut"


def test_the_record_outlives_the_program(program: ModuleType, machine: Any) -> None:
    """Each command is a process of its own."""
    machine.start({"kind": "uml", "memory": 512})
    again = program.Machine(machine.folder)
    assert again.running() and again.state["memory"] == 512
    assert again.cut() and not machine.running()
    assert again.start({"kind": None, "memory": None}) and again.state["kind"] == "uml", "the options of the first start"
    assert again.remove() and not again.folder.exists()


def test_a_process_that_took_the_number_is_let_be(program: ModuleType, machine: Any) -> None:
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as other:
        machine.saved.write_text(json.dumps({"pid": other.pid, "started": "1"}))
        found = program.Machine(machine.folder)
        assert not found.running() and not found.cut()
        assert found.remove() and other.poll() is None
        other.kill()


def test_a_machine_that_ends_at_once_shows_its_console(program: ModuleType, machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program.Machine, "command", lambda _self: ["sh", "-c", "echo no such disk; exit 1"])
    with pytest.raises(SystemExit, match="no such disk"):
        machine.start({"kind": "uml"})
    assert not machine.running() and not machine.cut()


def test_a_machine_that_had_ended_before_its_start_was_recorded_is_off(
    program: ModuleType, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(program.Machine, "command", lambda _self: ["true"])
        patch.setattr(program, "started_at", lambda _pid: None)
        with pytest.raises(SystemExit, match="ended at once"):
            machine.start({"kind": "uml"})
    assert not machine.running() and not machine.cut()


def test_interfaces_differ_and_fit(program: ModuleType, tmp_path: Path) -> None:
    names = {program.Machine(tmp_path / str(number)).interface for number in range(50)}
    assert len(names) == 50 and max(map(len, names)) < 16


@pytest.mark.skipif(not shutil.which("debugfs"), reason="needs e2fsprogs")
def test_a_disk_gets_the_machines_identity(machine: Any, tmp_path: Path) -> None:
    """Written into the file system without mounting it."""
    for folder in ("root/etc/systemd/network", "root/etc/lab", "root/var/lib/lab", "settings", "keys"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "settings" / "gpus").write_text("one")
    (tmp_path / "keys" / "key").write_text("secret")
    (tmp_path / "keys" / "key").chmod(0o600)
    base = tmp_path / "base.ext4"
    base.write_bytes(b"")
    os.truncate(base, 8 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tmp_path / "root"), str(base)], check=True)
    machine.disk.unlink()
    machine.create({"base": str(base), "name": "one", "address": "10.0.0.2", "gateway": "10.0.0.1", "settings": tmp_path / "settings", "keys": tmp_path / "keys"})

    def read(path: str) -> str:
        return subprocess.run(["debugfs", "-R", f"cat {path}", str(machine.disk)], check=True, capture_output=True, text=True).stdout

    assert read("/etc/hostname") == "one\n" and "Address=10.0.0.2/24" in read("/etc/systemd/network/10-lab.network")
    assert read("/etc/lab/gpus") == "one" and read("/var/lib/lab/key") == "secret"
    listed = subprocess.run(["debugfs", "-R", "stat /var/lib/lab/key", str(machine.disk)], check=True, capture_output=True, text=True).stdout
    assert "Mode:  0600" in listed and "User:     0" in listed
