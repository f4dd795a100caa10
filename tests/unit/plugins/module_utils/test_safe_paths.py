# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What somebody who may write a folder can make root do there: nothing beyond that folder."""

from __future__ import annotations

import os
import socket
import stat

from pathlib import Path

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _safe_paths

# Nobody has these numbers.
FORMER, SERVICE, STRANGER = 54321, 54322, 54323
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can plant what belongs to somebody else")


def folder_of(path: Path, uid: int) -> Path:
    """A folder that belongs to somebody."""
    path.mkdir(parents=True)
    os.chown(path, uid, uid)
    return path


def file_of(path: Path, uid: int, text: str = "text") -> Path:
    """A file that belongs to somebody."""
    path.write_text(text)
    os.chown(path, uid, uid)
    return path


def owners(path: Path) -> dict[str, int]:
    """Who owns what lies below a folder, by path."""
    return {str(found.relative_to(path)): found.lstat().st_uid for found in sorted(path.rglob("*"))}


@AS_ROOT
def test_a_cache_is_handed_over_with_all_that_is_in_it(tmp_path: Path) -> None:
    cache = folder_of(tmp_path / "cache", FORMER)
    file_of(folder_of(cache / "triton", FORMER) / "kernel", FORMER)
    (cache / "latest").symlink_to("triton")
    assert _safe_paths.hand_over(str(cache), SERVICE, SERVICE, 0o750, {FORMER}) == []
    found = cache.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (SERVICE, SERVICE, 0o750)
    assert owners(cache) == {"latest": 0, "triton": SERVICE, "triton/kernel": SERVICE}


@AS_ROOT
def test_nothing_beyond_the_cache_changes_hands(tmp_path: Path) -> None:
    """Links to files and folders of others, further names of files, sockets and fifos, what is root's and what is a stranger's."""
    cache, outside = folder_of(tmp_path / "cache", FORMER), folder_of(tmp_path / "outside", 0)
    shadow = file_of(outside / "shadow", 0)
    weights = file_of(outside / "weights", FORMER)
    file_of(folder_of(outside / "folder", FORMER) / "inner", FORMER)
    (cache / "link").symlink_to(shadow)
    (cache / "folder").symlink_to(outside / "folder")
    os.link(shadow, cache / "hard")
    os.link(weights, cache / "weights")
    os.mkfifo(cache / "fifo")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(cache / "socket"))
    file_of(folder_of(cache / "strange", STRANGER) / "inner", FORMER)
    taken = _safe_paths.hand_over(str(cache), SERVICE, SERVICE, 0o750, {FORMER})
    # A file of the former account's that has a name elsewhere is not given away: weights that all services read, say.
    assert taken == [str(cache / "weights")] and weights.read_text() == "text"
    assert [path.stat().st_uid for path in (shadow, weights, outside / "folder", outside / "folder" / "inner")] == [0, FORMER, FORMER, FORMER]
    assert shadow.stat().st_nlink == 2 and SERVICE not in owners(cache).values()
    assert cache.stat().st_uid == SERVICE


@AS_ROOT
def test_a_cache_that_is_a_link_itself_is_not_handed_over(tmp_path: Path) -> None:
    above, etc = folder_of(tmp_path / "caches", FORMER), folder_of(tmp_path / "etc", 0)
    (above / "cache").symlink_to(etc)
    with pytest.raises(_safe_paths.Unsafe, match="it is not followed"):
        _safe_paths.hand_over(str(above / "cache"), SERVICE, SERVICE, 0o750, {FORMER})
    assert etc.stat().st_uid == 0


@AS_ROOT
def test_handing_over_that_was_cut_off_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until all is done the folder is root's: neither account takes it for its own, in whichever direction it went."""
    cache = folder_of(tmp_path / "cache", FORMER)
    file_of(folder_of(cache / "a", FORMER) / "inner", FORMER)
    file_of(folder_of(cache / "b", FORMER) / "inner", FORMER)
    chown, count = os.chown, iter(range(100))

    def killed(path: str, uid: int, gid: int) -> None:
        if next(count) == 1:
            raise KeyboardInterrupt
        chown(path, uid, gid)

    monkeypatch.setattr(os, "chown", killed)
    with pytest.raises(KeyboardInterrupt):
        _safe_paths.hand_over(str(cache), SERVICE, SERVICE, 0o750, {FORMER})
    assert (cache.stat().st_uid, stat.S_IMODE(cache.stat().st_mode)) == (0, 0o700)
    monkeypatch.undo()
    _safe_paths.hand_over(str(cache), SERVICE, SERVICE, 0o750, {FORMER})
    assert set(owners(cache).values()) == {SERVICE} and cache.stat().st_uid == SERVICE


@AS_ROOT
def test_what_an_account_has_already_is_not_walked(tmp_path: Path) -> None:
    """Each start of a unit asks, and caches are large."""
    cache = folder_of(tmp_path / "cache", SERVICE)
    os.chmod(cache, 0o750)
    file_of(cache / "file", FORMER)
    _safe_paths.hand_over(str(cache), SERVICE, SERVICE, 0o750, {FORMER})
    assert owners(cache) == {"file": FORMER}


def test_fifos_devices_and_links_are_not_read(tmp_path: Path) -> None:
    """A fifo would keep root's module for ever, a link would have it show a file of root's."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "null").symlink_to("/dev/zero")
    for name in ("fifo", "link", "null", "gone"):
        assert _safe_paths.read_text(str(tmp_path / name)) == ""
    assert _safe_paths.read_text(str(tmp_path / "secret")) == "{}"


def test_a_file_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_safe_paths, "MOST_BYTES", 10)
    (tmp_path / "large").write_text("x" * 11)
    assert _safe_paths.read_text(str(tmp_path / "large")) == ""


@AS_ROOT
def test_a_further_name_of_roots_file_is_not_read_as_its_folders_owners(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "progress", SERVICE)
    os.link(file_of(tmp_path / "secret", 0, '{"key": "s"}'), folder / "unit.json")
    assert _safe_paths.read_text(str(folder / "unit.json"), of_folders_owner=True) == ""


@AS_ROOT
def test_of_a_link_only_the_link_is_removed(tmp_path: Path) -> None:
    folder, etc = folder_of(tmp_path / "failures", FORMER), folder_of(tmp_path / "etc", 0)
    file_of(etc / "passwd", 0)
    (folder / "vllm-a").symlink_to(etc)
    with pytest.raises(_safe_paths.Unsafe):
        _safe_paths.remove(str(folder / "vllm-a" / "passwd"))
    assert _safe_paths.remove(str(folder / "vllm-a")) and (etc / "passwd").exists()
    assert not _safe_paths.remove(str(folder / "vllm-a")) and not _safe_paths.remove(str(tmp_path / "gone" / "further"))


def test_a_tree_deeper_than_python_recurses_is_removed(tmp_path: Path) -> None:
    """Who can make folders could keep root from taking them away."""
    (tmp_path / "deep").mkdir()
    here = os.open(tmp_path / "deep", os.O_RDONLY)
    for _level in range(1500):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    assert _safe_paths.remove(str(tmp_path / "deep")) and not (tmp_path / "deep").exists()


def test_names_that_begin_with_a_dash_are_names(tmp_path: Path) -> None:
    (tmp_path / "-rf").mkdir()
    assert _safe_paths.remove(str(tmp_path / "-rf"))
    assert list(tmp_path.iterdir()) == []
