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
from host_script import ROLES, load

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it is root's")
FORMER = 54321
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.setitem(sys.modules, "safe_paths", _safe_paths)
    found = load(ROLES / "model_service" / "files" / "own_folders.py", "own_folders")
    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(found, "LOCK", str(tmp_path / "run" / "lock"))
    monkeypatch.setattr(found, "SHARED_MEMORY", str(tmp_path / "shm"))
    return found


def started(program: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """What it ends with for a unit of the account nobody."""
    monkeypatch.setattr(sys, "argv", ["own_folders.py", "--user=nobody", "--group=nogroup", *words])
    return program.main()


def owner(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def test_all_folders_of_a_part(own_folders: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray's is root's: Ray opens what belongs to it to everybody."""
    words = [f"--folder={tmp_path}/cache", f"--folder={tmp_path}/failures/unit", f"--ray={tmp_path}/ray/a", "--memory=inferops-a"]
    (tmp_path / "ray" / "a" / "session").mkdir(parents=True)
    os.chown(tmp_path / "ray" / "a", FORMER, FORMER)
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
    assert "Take it away" in capsys.readouterr().err
    assert owner(etc)[:2] == (0, 0) and owner(place) == before


def test_nothing_is_loaded_from_the_services_home(tmp_path: Path) -> None:
    """Units have the service's cache as HOME. What Python finds there would run as root."""
    site = subprocess.run(
        ["/usr/bin/python3", "-c", "import site; print(site.getusersitepackages())"], env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True,
    ).stdout.strip()
    Path(site).mkdir(parents=True)
    (Path(site) / "usercustomize.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    (tmp_path / "lib").mkdir()
    for name, source in (("own_folders.py", ROLES / "model_service" / "files" / "own_folders.py"), ("safe_paths.py", Path(_safe_paths.__file__))):
        (tmp_path / "lib" / name).write_bytes(source.read_bytes())
    done = subprocess.run(
        ["/usr/bin/python3", "-EsB", str(tmp_path / "lib" / "own_folders.py"), "--user=no-such-user", "--group=no-such-user"],
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
            os.chown(path, FORMER, FORMER)
    text = UNIT.format(user="nobody", group="nogroup")
    assert not _former_unit.owns_folders(text) and _former_unit.missing_account(text) == ""
    words = ["python3", "-EsB", "own_folders.py", "--user=inferops-a", "--group=inferops-a", f"--folder={tmp_path}/cache", f"--ray={tmp_path}/ray/a"]
    _former_unit.give_back(text, words)
    expected = (NOBODY.pw_uid, NOBODY.pw_gid, 0o750)
    assert owner(tmp_path / "cache") == owner(tmp_path / "ray" / "a") == expected
    assert owner(tmp_path / "cache" / "inner")[0] == NOBODY.pw_uid and list((tmp_path / "ray" / "a").iterdir()) == []


def test_an_account_that_is_gone_is_named() -> None:
    assert _former_unit.missing_account(UNIT.format(user="inferops-gone", group="nogroup")) == "inferops-gone"
