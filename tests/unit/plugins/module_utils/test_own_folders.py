# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that a unit runs as root before each start: folders become the account's, and nobody else's."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _former_unit, _safe_paths
from ansible_collections.inferops.gpu.plugins.module_utils import own_folders as program

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it is root's")
FORMER = 54321
NOBODY = pwd.getpwnam("nobody")
# Stands for the account that all services had together, and for that of a later unit.
DAEMON = pwd.getpwnam("daemon").pw_uid


@pytest.fixture
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(program, "LOCK", str(tmp_path / "run" / "lock"))
    monkeypatch.setattr(program, "SHARED_MEMORY", str(tmp_path / "shm"))
    return program


def started(own_folders: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """What it ends with for a unit of the account nobody."""
    monkeypatch.setattr(sys, "argv", ["own_folders.py", "--user=nobody", "--group=nogroup", *words])
    return int(own_folders.main())


def owner(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def test_all_folders_of_a_part(own_folders: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray's is root's: Ray opens what belongs to it to everybody."""
    words = ["--former=daemon", f"--folder={tmp_path}/cache", f"--folder={tmp_path}/failures/unit", f"--ray={tmp_path}/ray/a", "--memory=inferops-a"]
    (tmp_path / "ray" / "a" / "session").mkdir(parents=True)
    os.chown(tmp_path / "ray" / "a", DAEMON, DAEMON)
    for _start in range(2):
        assert started(own_folders, monkeypatch, *words) == 0
        uid, gid = NOBODY.pw_uid, NOBODY.pw_gid
        assert owner(tmp_path / "cache") == owner(tmp_path / "failures" / "unit") == (uid, gid, 0o750)
        assert owner(tmp_path / "failures") == (0, 0, 0o755)
        assert owner(tmp_path / "ray" / "a") == (0, gid, 0o770) and list((tmp_path / "ray" / "a").iterdir()) == []
        assert owner(tmp_path / "shm" / "inferops-a") == (uid, gid, 0o700)


@pytest.mark.parametrize("planted", ["link", "folder"])
def test_what_a_stranger_has_put_into_shared_memory_is_not_taken(
    own_folders: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], planted: str,
) -> None:
    """Everybody may write there: a link to /etc in the place of the folder would have given /etc to the account."""
    etc = tmp_path / "etc"
    etc.mkdir()
    place = tmp_path / "shm" / "inferops-a"
    if planted == "link":
        place.symlink_to(etc)
    else:
        place.mkdir()
        os.chown(place, FORMER, FORMER)
    before = owner(place)
    assert started(own_folders, monkeypatch, "--memory=inferops-a") == 1
    assert "Remove it" in capsys.readouterr().err
    assert owner(etc)[:2] == (0, 0) and owner(place) == before


def test_nothing_is_loaded_from_the_services_home(library: Path, tmp_path: Path) -> None:
    """Units have the service's cache as HOME. What Python finds there would run as root."""
    site = subprocess.run(
        ["/usr/bin/python3", "-c", "import site; print(site.getusersitepackages())"], env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True,
    ).stdout.strip()
    Path(site).mkdir(parents=True)
    (Path(site) / "usercustomize.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    done = subprocess.run(
        ["/usr/bin/python3", "-EsB", str(library), "own_folders", "--user=no-such-user", "--group=no-such-user"],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 1 and "run the playbook again" in done.stderr
    assert not (tmp_path / "owned").exists()


UNIT = "# Managed by inferops.gpu (role model_service).\n[Service]\nUser={user}\nGroup={group}\n"


def test_a_unit_of_the_former_layout_gets_its_folders_back(tmp_path: Path) -> None:
    """It goes back to the account that it names, and takes nothing over by itself."""
    for name in ("cache", "ray/a"):
        (tmp_path / name / "inner").mkdir(parents=True)
        for path in (tmp_path / name, tmp_path / name / "inner"):
            os.chown(path, DAEMON, DAEMON)
    text = UNIT.format(user="nobody", group="nogroup")
    assert not _former_unit.owns_folders(text) and _former_unit.missing_account(text) == ""
    words = ["python3", "-EsB", "own_folders.py", "--user=daemon", "--group=daemon", f"--folder={tmp_path}/cache", f"--ray={tmp_path}/ray/a"]
    _former_unit.give_back(text, words)
    expected = (NOBODY.pw_uid, NOBODY.pw_gid, 0o750)
    assert owner(tmp_path / "cache") == owner(tmp_path / "ray" / "a") == expected
    assert owner(tmp_path / "cache" / "inner")[0] == NOBODY.pw_uid and list((tmp_path / "ray" / "a").iterdir()) == []


def test_an_account_that_is_gone_is_named() -> None:
    assert _former_unit.missing_account(UNIT.format(user="inferops-gone", group="nogroup")) == "inferops-gone"


def planted(path: Path, uid: int, mode: int, inner: int | None) -> Path:
    """A folder with a file in it, of these accounts."""
    path.mkdir(parents=True)
    if inner is not None:
        (path / "file").write_text("text")
        os.chown(path / "file", inner, inner)
    os.chown(path, uid, uid)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("kind", ["folder", "ray"])
@pytest.mark.parametrize(("uid", "mode", "inner", "goes"), [
    # C(multi_node_ray_temp_dir: /opt) and a service nvidia; C(host_cache_dir: /scratch) and a folder of alice's that is called like a service.
    (0, 0o755, 0, False), (FORMER, 0o755, FORMER, False), (FORMER, 0o755, None, False), (0, 0o700, 0, False), (0, 0o755, FORMER, False),
    # An empty one that an administrator has made, one of the former account's, and those that were cut off.
    (0, 0o755, None, True), (DAEMON, 0o755, DAEMON, True), (0, 0o700, DAEMON, True), (0, 0o700, NOBODY.pw_uid, True),
])
def test_a_folder_of_somebody_else_is_neither_taken_nor_emptied(
    own_folders: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str,
    uid: int, mode: int, inner: int | None, goes: bool,
) -> None:
    path = planted(tmp_path / "scratch" / "a", uid, mode, inner)
    before = owner(path)
    assert started(own_folders, monkeypatch, "--former=daemon", f"--{kind}={path}") == (0 if goes else 1)
    if goes:
        assert owner(path) == ((NOBODY.pw_uid, NOBODY.pw_gid, 0o750) if kind == "folder" else (0, NOBODY.pw_gid, 0o770))
    else:
        assert owner(path) == before and [found.lstat().st_uid for found in path.iterdir()] == ([] if inner is None else [inner])
        assert "Move it away, or set another path" in capsys.readouterr().err


@pytest.mark.parametrize("mixed", [False, True])
def test_a_folder_of_ray_for_another_group_is_emptied_where_all_in_it_is_the_services(
    own_folders: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mixed: bool,
) -> None:
    """With another C(model_service_account_prefix) the group is another."""
    path = planted(tmp_path / "ray" / "a", 0, 0o770, NOBODY.pw_uid)
    if mixed:
        (path / "mine").write_text("text")
    assert started(own_folders, monkeypatch, f"--ray={path}") == (1 if mixed else 0)
    assert len(list(path.iterdir())) == (2 if mixed else 0)


def test_a_unit_that_comes_back_does_not_empty_what_is_somebody_elses(tmp_path: Path) -> None:
    path = planted(tmp_path / "opt" / "nvidia", 0, 0o755, 0)
    with pytest.raises(_safe_paths.Unsafe, match="it belongs to root, and its contents do not belong to this service"):
        _former_unit.give_back(UNIT.format(user="nobody", group="nogroup"), ["python3", "own_folders.py", "--user=daemon", f"--ray={path}"])
    assert (path / "file").read_text() == "text" and owner(path) == (0, 0, 0o755)


def test_accounts_of_one_service_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """After another C(model_service_account_prefix) or C(host_user) its folders are still its own. Root's never count."""
    comments = {"root": (0, "inferops service a"), "old-a": (901, "inferops service a"), "new-a": (902, "inferops service a"),
                "new-b": (903, "inferops service b"), "inferops": (904, "inferops model services"), "alice": (1000, ""), "bob": (1001, ""), "given": (905, "")}
    users = {name: pwd.struct_passwd((name, "x", uid, uid, comment, "/", "/")) for name, (uid, comment) in comments.items()}
    monkeypatch.setattr(pwd, "getpwall", lambda: list(users.values()))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: users[name])
    assert _safe_paths.accounts_of("new-a", "given", "gone") == {901, 902, 904, 905}
