# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The python_tool module: when a tool counts as installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.modules import python_tool


class Done(Exception):
    """The end of the module."""


class StandIn:
    """As much of AnsibleModule as the module uses."""

    check_mode = False

    def __init__(self, base: Path) -> None:
        self.params = {"name": "uv", "version": "1.0", "commands": ["uv"], "install_dir": str(base)}

    def exit_json(self, **values: Any) -> None:
        raise Done(values["changed"])


def test_the_files_are_on_the_disk_before_the_link_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link decides whether the tool is installed: after a power cut it must not lead to an empty program."""
    link = tmp_path / "bin" / "uv"
    seen = []

    def install(_module: StandIn, path: str) -> None:
        Path(path, "bin").mkdir(parents=True)
        Path(path, "bin", "uv").write_text("program")

    monkeypatch.setattr(python_tool, "AnsibleModule", lambda **_spec: StandIn(tmp_path))
    monkeypatch.setattr(python_tool, "install", install)
    monkeypatch.setattr(python_tool, "sync_filesystem", lambda folder: seen.append((folder, link.is_symlink())))
    with pytest.raises(Done, match="True"):
        python_tool.main()
    assert seen == [(str(tmp_path / "tools" / "uv-1.0"), False)]
    assert link.read_text() == "program"
