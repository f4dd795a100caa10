# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files are written whole or not at all, by one writer."""

from __future__ import annotations

import ast
import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _reading, _writing

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
# What is replaced there is no file of text: a directory's files that are moved, a hard link.
# The collector writes in a folder of another account, so not by a path.
OTHERS = {"module_utils/_writing.py", "module_utils/fetch/main.py", "module_utils/fetch/peer.py", "module_utils/metrics/main.py"}


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_mode_and_content(tmp_path: Path, mode: int) -> None:
    """Whatever the umask is, and whatever a killed writer has left."""
    path = tmp_path / "file"
    (tmp_path / "file.new").symlink_to(tmp_path / "other")
    before = os.umask(0o077)
    try:
        _writing.replace(str(path), "ä\r\n", mode)
    finally:
        os.umask(before)
    assert path.read_bytes() == "ä\r\n".encode() and path.stat().st_mode & 0o7777 == mode
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize("step", ["replace", "fsync", "fchmod"])
def test_what_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(*words: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as failing:
        failing.setattr(os, step, full)
        with pytest.raises(OSError, match="No space"):
            _writing.replace(str(path), "new", durable=True)
    assert path.read_text() == "old" and [one.name for one in tmp_path.iterdir()] == ["file"]


def test_links_and_json(tmp_path: Path) -> None:
    _writing.replace_link(str(tmp_path / "link"), "a")
    _writing.replace_link(str(tmp_path / "link"), "b")
    _writing.replace_json(str(tmp_path / "json"), {"a": 1})
    assert os.readlink(tmp_path / "link") == "b" and _reading.read_json(str(tmp_path / "json")) == {"a": 1}


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, "null"])
def test_what_is_no_json_object_is_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    assert _reading.read_json(str(tmp_path / "file")) == {} == _reading.read_json(str(tmp_path / "missing"))


def test_a_status_goes_on_without_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = _writing.StatusFile(str(tmp_path / "nowhere" / "status.json"))
    status.put({"text": "one"})
    status.put({"text": "two"})
    assert capsys.readouterr().out.count("cannot write ") == 1
    (tmp_path / "nowhere").mkdir()
    status.put({"text": "three"})
    assert json.loads((tmp_path / "nowhere" / "status.json").read_text()) == {"text": "three"}


def test_one_writer_for_all() -> None:
    """Nothing else of what runs on hosts replaces a file by itself."""
    found = set()
    for path in [*PLUGINS.glob("module_utils/**/*.py"), *PLUGINS.glob("modules/*.py")]:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        if any(ast.unparse(call.func) == "os.replace" for call in calls):
            found.add(path.relative_to(PLUGINS).as_posix())
    assert found == OTHERS


def test_a_file_system_is_synced(tmp_path: Path) -> None:
    """The kernel takes the call, and says when it cannot."""
    _writing.sync_filesystem(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        _writing.sync_filesystem(str(tmp_path / "missing"))
