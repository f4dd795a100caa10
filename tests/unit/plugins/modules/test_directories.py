# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directories module: what it takes for right, what it makes, what it leaves alone."""

from __future__ import annotations

import grp
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible_collections.inferops.gpu.plugins.module_utils import _directories
from ansible_collections.inferops.gpu.plugins.modules import directories

OWNER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name
# Nobody has this number.
STRANGER = 54321


def test_missing_parents_are_roots(tmp_path: Path) -> None:
    """Who owned them could put something else in the place of what lies in them."""
    directories.make(str(tmp_path / "a" / "b" / "c"), OWNER, GROUP, 0o750)
    assert [_directories.describe(str(tmp_path / part)) for part in ("a", "a/b", "a/b/c")] == [
        f"{OWNER}:{GROUP} 0755", f"{OWNER}:{GROUP} 0755", f"{OWNER}:{GROUP} 0750",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can plant what belongs to somebody else")
@pytest.mark.parametrize("planted", ["link", "link above"])
def test_a_link_in_a_folder_of_somebody_else_is_not_followed(tmp_path: Path, planted: str) -> None:
    """A cache's subfolder that its account has replaced by a link to /etc: the next run would have given /etc to the account."""
    etc, cache = tmp_path / "etc", tmp_path / "cache"
    (etc / "rpc").mkdir(parents=True)
    cache.mkdir()
    (cache / "rpc").symlink_to(etc)
    os.chown(cache, STRANGER, STRANGER)
    path = cache / "rpc" if planted == "link" else cache / "rpc" / "rpc"
    before = [(found.st_uid, found.st_mode) for found in (etc.stat(), (etc / "rpc").stat())]
    with pytest.raises(OSError, match="it is not followed"):
        _directories.describe(str(path))
    with pytest.raises(OSError, match="it is not followed"):
        directories.make(str(path), "nobody", GROUP, 0o777)
    assert [(found.st_uid, found.st_mode) for found in (etc.stat(), (etc / "rpc").stat())] == before


def test_an_administrators_link_is_followed(tmp_path: Path) -> None:
    """Where root alone may write: /var/cache may well lie on another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to("disk")
    directories.make(str(tmp_path / "cache" / "a"), OWNER, GROUP, 0o750)
    assert (tmp_path / "disk" / "a").is_dir()


def test_a_parent_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    directories.make(str(tmp_path / "a" / "b"), OWNER, GROUP, 0o755)
    assert _directories.describe(str(tmp_path / "a")) == f"{OWNER}:{GROUP} 0700"


def test_a_wrong_mode_is_put_right(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    directories.make(str(tmp_path / "a"), OWNER, GROUP, 0o755)
    assert _directories.describe(str(tmp_path / "a")) == f"{OWNER}:{GROUP} 0755"


def test_what_is_not_there_is_told_from_what_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert _directories.describe(str(tmp_path / "gone")) is None
    with pytest.raises(NotADirectoryError, match="Move it away"):
        _directories.describe(str(tmp_path / "file"))


def test_a_number_stands_for_an_account_without_a_name() -> None:
    assert _directories.name_of(pwd.getpwuid, 2**31 - 7) == str(2**31 - 7)


def outcome(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the module answers."""
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": {"directories": rows}}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)

    def end(module: Any, **result: Any) -> None:
        raise SystemExit(result)

    monkeypatch.setattr(basic.AnsibleModule, "exit_json", end)
    monkeypatch.setattr(basic.AnsibleModule, "fail_json", end)
    with pytest.raises(SystemExit) as ended:
        directories.main()
    return ended.value.code


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can plant what belongs to somebody else")
@pytest.mark.parametrize("owner", ["nobody", "root"])
def test_a_folder_of_somebody_else_is_an_error_before_anything_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str) -> None:
    """The unit would refuse it at its start, when the one before is down."""
    (tmp_path / "a" / "file").mkdir(parents=True)
    own = {"owner": owner, "group": "nogroup", "mode": "0750", "keep": True, "of": ["nobody", "daemon", "no-such-user"]}
    rows = [{"path": str(tmp_path / "new")}, {"path": str(tmp_path / "a"), **own}, {"path": str(tmp_path / "b"), **own}]
    for uid, why in ((STRANGER, f"another account (user id {STRANGER})"), (0, "it belongs to root")):
        os.chown(tmp_path / "a", uid, uid)
        said = outcome(monkeypatch, rows)["msg"]
        assert why in said and "Nothing was changed" in said and not (tmp_path / "new").exists()
    # Of the former account's, and of an earlier run.
    for name in ("daemon", "nobody"):
        os.chown(tmp_path / "a", pwd.getpwnam(name).pw_uid, 0)
        assert "msg" not in outcome(monkeypatch, rows)
    os.chown(tmp_path / "a", 0, grp.getgrnam("nogroup").gr_gid)
    assert ("msg" in outcome(monkeypatch, rows)) == (owner != "root")


def test_what_facts_report(tmp_path: Path) -> None:
    """Directories and those in them; links and files are none, and of some a level more."""
    for name in ("base/in/deep", "other/in/deep"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "base" / "file").touch()
    (tmp_path / "base" / "link").symlink_to(tmp_path / "other")
    found = _directories.read([str(tmp_path / "base"), str(tmp_path / "other"), str(tmp_path / "gone"), "relative"], [str(tmp_path / "other")])
    assert {path.removeprefix(f"{tmp_path}/") for path in found} == {"base", "base/in", "other", "other/in", "other/in/deep"}
    assert set(found.values()) == {f"{OWNER}:{GROUP} 0755"}
