# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directories module: what it takes for right, what it makes, what it leaves alone."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.modules import directories

OWNER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name


def test_missing_parents_are_made_alike(tmp_path: Path) -> None:
    directories.make(str(tmp_path / "a" / "b"), OWNER, GROUP, 0o750)
    assert [directories.describe(str(tmp_path / part)) for part in ("a", "a/b")] == [f"{OWNER}:{GROUP} 0750"] * 2


def test_a_parent_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    directories.make(str(tmp_path / "a" / "b"), OWNER, GROUP, 0o755)
    assert directories.describe(str(tmp_path / "a")) == f"{OWNER}:{GROUP} 0700"


def test_a_wrong_mode_is_put_right(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    directories.make(str(tmp_path / "a"), OWNER, GROUP, 0o755)
    assert directories.describe(str(tmp_path / "a")) == f"{OWNER}:{GROUP} 0755"


def test_what_is_not_there_is_told_from_what_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert directories.describe(str(tmp_path / "gone")) is None
    with pytest.raises(NotADirectoryError, match="Move it away"):
        directories.describe(str(tmp_path / "file"))


def test_a_number_stands_for_an_account_without_a_name() -> None:
    assert directories.name_of(pwd.getpwuid, 2**31 - 7) == str(2**31 - 7)
