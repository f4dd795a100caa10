# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A power cut during or after a build: a release with its final name is on the disk, and uv's cache is not trusted after one that was interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from test_build import Lab

BOOT = Path("/proc/sys/kernel/random/boot_id")


@pytest.fixture
def lab(tmp_path: Path, build_release: ModuleType) -> Lab:
    return Lab(tmp_path, build_release)


def marks(lab: Lab) -> list[Path]:
    return sorted(Path(lab.spec["cache_dir"]).glob(".inferops-building-*"))


def commands(lab: Lab) -> list[list[str]]:
    return [arguments[:2] for arguments, _environment in lab.calls()]


def interrupt(lab: Lab, boot: str, host: str = "") -> Path:
    """Leave the mark of a build that did not end."""
    lab.script.power.mark(lab.spec["cache_dir"], "vllm-1.0-other")
    [path] = marks(lab)
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "boot": boot or said["boot"], "host": host or said["host"]}))
    return path


def test_the_files_are_on_the_disk_before_the_release_has_its_name(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv does not sync what it unpacks, and a file system writes a new name before the contents of the files: empty files in a complete release."""
    synced = []
    monkeypatch.setattr(lab.script._writing, "sync_filesystem", lambda folder: synced.append((Path(folder).name, lab.path.exists(), (Path(folder) / "release.json").exists())))
    assert lab.run(monkeypatch) == 0
    assert (".building-vllm-1.2.3-abc", False, True) in synced
    assert ("releases", True, False) in synced, "the name itself"


def test_a_disk_that_does_not_take_the_files_makes_no_release(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: str) -> None:
        if Path(folder).name.startswith(".building-"):
            raise OSError(5, "Input/output error", folder)

    monkeypatch.setattr(lab.script._writing, "sync_filesystem", fail)
    assert lab.run(monkeypatch) == 1
    assert lab.folders() == [] and "Input/output error" in lab.status()["error"]


def test_a_build_is_marked_in_the_cache_while_it_runs(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    install = lab.script.install
    monkeypatch.setattr(lab.script, "install", lambda *arguments: (seen.extend(json.loads(path.read_text()) for path in marks(lab)), install(*arguments))[1])
    assert lab.run(monkeypatch) == 0
    assert [mark["boot"] for mark in seen] == [BOOT.read_text().strip()]
    assert marks(lab) == []


def test_a_failed_build_takes_its_mark_away(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.base / "no-solution").touch()
    assert lab.run(monkeypatch) == 1
    assert marks(lab) == []


def test_the_cache_of_a_build_that_a_power_cut_interrupted_is_emptied(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv unpacks packages there, does not sync them, and does not verify them again."""
    path = interrupt(lab, boot="another boot")
    assert lab.run(monkeypatch) == 0
    assert commands(lab)[0] == ["cache", "clean"]
    assert not path.exists() and marks(lab) == []


@pytest.mark.parametrize("torn", ["", "[]", "{}", "no json"])
def test_a_mark_that_the_power_cut_tore_counts(lab: Lab, monkeypatch: pytest.MonkeyPatch, torn: str) -> None:
    interrupt(lab, boot="").write_text(torn)
    assert lab.run(monkeypatch) == 0
    assert commands(lab)[0] == ["cache", "clean"]


def test_a_killed_build_costs_no_cache(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same boot the kernel still has all that was written; another build may be at work."""
    path = interrupt(lab, boot="")
    assert lab.run(monkeypatch) == 0
    assert ["cache", "clean"] not in commands(lab)
    assert path.exists(), "another build's mark"


def test_another_host_that_shares_the_cache_is_let_be(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    path = interrupt(lab, boot="another boot", host="elsewhere")
    assert lab.run(monkeypatch) == 0
    assert ["cache", "clean"] not in commands(lab)
    assert path.exists()
