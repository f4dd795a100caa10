# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folder of reports: names, permissions, atomic writing, links, pruning, and what is read from it."""

from __future__ import annotations

import json
import os
import stat

from pathlib import Path
from typing import Any

import pytest
import report_builders as builders

from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report import store

BASE = "20261126T234157Z-all"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ("", "all"), ("qwen235b", "qwen235b"), ("gpu1,gpu2:&a", "gpu1_gpu2_a"), ("../../etc/passwd", "etc_passwd"), ("*", "limited"),
        ("x" * 300, "x" * 40), ("a\nb\x1b", "a_b"),
    ],
)
def test_names(limit: str, name: str) -> None:
    assert store.base_name("2026-11-26T23:41:57Z", limit) == f"20261126T234157Z-{name}"


def test_files_and_permissions(tmp_path: Path) -> None:
    """Whatever the umask: the folder and the files are this user's alone."""
    folder = tmp_path / "state" / "reports"
    before = os.umask(0)
    try:
        paths = store.write(str(folder), BASE, builders.report(), "<html>", 5)
    finally:
        os.umask(before)
    assert paths == (str(folder / f"{BASE}.json"), str(folder / f"{BASE}.html"))
    assert mode(folder) == 0o700 and {mode(Path(path)) for path in paths} == {0o600}
    assert json.loads((folder / "latest.json").read_text(encoding="utf-8")) == builders.report()
    assert os.readlink(folder / "latest.html") == f"{BASE}.html"
    assert sorted(path.name for path in folder.iterdir()) == [f"{BASE}.html", f"{BASE}.json", "latest.html", "latest.json"]


def test_runs_of_the_same_second(tmp_path: Path) -> None:
    """None replaces another one, and the last is the newest."""
    written = [store.write(str(tmp_path), BASE, {"number": number}, "", 0)[0] for number in range(11)]
    assert len(set(written)) == 11
    assert store.names(str(tmp_path))[0] == os.path.basename(written[-1]) == os.readlink(tmp_path / "latest.json")


@pytest.mark.parametrize(("keep", "left"), [(0, 5), (1, 1), (3, 3), (100, 5)])
def test_pruning(tmp_path: Path, keep: int, left: int) -> None:
    """The oldest go, with their pages; files of others stay."""
    (tmp_path / "notes.json").write_text("{}", encoding="utf-8")
    for day in range(1, 6):
        store.write(str(tmp_path), f"202611{day:02}T000000Z-all", {}, "", keep)
    names = [f"202611{day:02}T000000Z-all" for day in range(5, 0, -1)][:left]
    assert store.names(str(tmp_path)) == [f"{name}.json" for name in names]
    assert sorted(path.name for path in tmp_path.glob("2*.html")) == sorted(f"{name}.html" for name in names)
    assert (tmp_path / "notes.json").exists()


def test_an_interrupted_run_leaves_no_half_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full at the second file: an earlier report stays the last one, and no temporary file stays."""
    store.write(str(tmp_path), "20261101T000000Z-all", {"first": 1}, "", 0)

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(store.Unusable, match="No space left on device. Fix: "):
        store.write(str(tmp_path), BASE, {"second": 2}, "", 0)
    assert store.names(str(tmp_path)) == ["20261101T000000Z-all.json"]
    assert json.loads((tmp_path / "latest.json").read_text(encoding="utf-8")) == {"first": 1}
    assert not list(tmp_path.glob(".*")) and [path.name for path in tmp_path.glob("2*.html")] == ["20261101T000000Z-all.html"]


def test_links_in_the_folder_are_not_followed(tmp_path: Path) -> None:
    """Somebody who may write there cannot have another file overwritten."""
    victim, folder = tmp_path / "victim", tmp_path / "reports"
    victim.write_text("mine", encoding="utf-8")
    folder.mkdir(0o700)
    for name in (f"{BASE}.json", f"{BASE}.html", "latest.json"):
        (folder / name).symlink_to(victim)
    written = store.write(str(folder), BASE, {}, "page", 0)
    assert victim.read_text(encoding="utf-8") == "mine" and written[0].endswith("-2.json")


def test_a_folder_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(store.Unusable, match="writable by everybody.* Fix: chmod o-w"):
        store.write(str(folder), BASE, {}, "", 0)
    assert not list(folder.iterdir())


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for path in (tmp_path / "file", tmp_path / "file" / "reports"):
        with pytest.raises(store.Unusable, match="Fix: "):
            store.write(str(path), BASE, {}, "", 0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"), ("[1", "is not JSON"), ("[" * 100000, "is not JSON"), ("[]", "is not a report"), ('{"run": {}}', "is not a report"),
        ('{"run": {}, "hosts": [], "format": 1}', "is not a report"),
        ('{"run": {}, "hosts": {}, "format": 2}', "has format 2, and this version reads format 1"),
    ],
)
def test_what_is_no_report(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / f"{BASE}.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(store.Unusable, match=f"{why}.* Fix: "):
        store.load(str(path))
    with pytest.raises(store.Unusable, match=why):
        list(store.newest_first(str(tmp_path)))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(store.Unusable, match="No such file.* Fix: "):
        store.load(str(tmp_path / "missing.json"))
    with pytest.raises(store.Unusable, match="Fix: "):
        store.load(str(tmp_path))
    assert list(store.newest_first(str(tmp_path / "missing"))) == []


def entry(address: str = "192.0.2.1", state: Any = None) -> dict[str, Any]:
    return {"address": address, "state": {"system": {}} if state is None else state}


@pytest.mark.parametrize(
    ("reports", "hosts", "found"),
    [
        ([("b", {"a": entry()}), ("a", {"a": entry()})], {"a": "192.0.2.1"}, {"a": "b"}),
        ([("b", {"b": entry()}), ("a", {"a": entry()})], {"a": "192.0.2.1", "b": "192.0.2.1"}, {"a": "a", "b": "b"}),
        # A run in which it could not be read, and another host of this name.
        ([("b", {"a": entry(state={})}), ("a", {"a": entry()})], {"a": "192.0.2.1"}, {"a": "a"}),
        ([("b", {"a": entry("192.0.2.9")}), ("a", {"a": entry()})], {"a": "192.0.2.1"}, {"a": "a"}),
        ([("b", {"a": "text"})], {"a": "192.0.2.1"}, {}),
        ([], {"a": "192.0.2.1"}, {}),
    ],
)
def test_reports_of_hosts(reports: list[tuple[str, dict[str, Any]]], hosts: dict[str, str], found: dict[str, str]) -> None:
    chosen = store.of_hosts([(path, {"run": {}, "hosts": entries}) for path, entries in reports], hosts)
    assert {name: path for name, (path, _report) in chosen.items()} == found
