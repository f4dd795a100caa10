# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packed modules that runs of the tests share: a changed source is packed again, and a run that changes nothing packs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "callback_plugins"))

import kept_modules  # noqa: E402

PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for path in ("plugins/modules/one.py", "plugins/module_utils/sub/two.py", "requirements-test.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("a = 1\n")
    return tmp_path


@pytest.mark.parametrize("path", ["plugins/modules/one.py", "plugins/module_utils/sub/two.py", "plugins/module_utils/new.py", "requirements-test.txt"])
def test_what_goes_into_a_module_changes_the_digest(checkout: Path, path: str) -> None:
    before = kept_modules.digest(checkout)
    assert kept_modules.digest(checkout) == before
    (checkout / path).write_text("a = 2\n")
    assert kept_modules.digest(checkout) != before


def test_a_renamed_source_changes_the_digest(checkout: Path) -> None:
    before = kept_modules.digest(checkout)
    (checkout / "plugins/modules/one.py").rename(checkout / "plugins/modules/three.py")
    assert kept_modules.digest(checkout) != before


def test_what_is_old_is_removed(checkout: Path) -> None:
    """With the first package of another source, and not what another run may just have begun to use."""
    cache = checkout / "cache"
    for name in ("old", "young"):
        (cache / name).mkdir(parents=True)
    os.utime(cache / "old", (0, 0))
    kept_modules.link(checkout, checkout, cache)
    assert sorted(path.name for path in cache.iterdir()) == sorted(["young", kept_modules.digest(checkout)])
    assert (checkout / "ansiballz_cache").resolve() == cache / kept_modules.digest(checkout)


def test_a_second_run_packs_nothing(tmp_path: Path) -> None:
    """By Ansible itself: the package of the first run is there for the second, which leaves it as it is."""
    (tmp_path / "play.yml").write_text(PLAY)
    cache = kept_modules.CACHE / kept_modules.digest()
    (package,) = [cache / "ansible.modules.ping-ZIP_DEFLATED-none"]
    package.unlink(missing_ok=True)
    times = []
    for _run in range(2):
        environment = {**os.environ, "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "callback_plugins"), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp")}
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", "play.yml"], cwd=tmp_path, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
        assert done.returncode == 0, done.stdout
        times.append(package.stat().st_mtime_ns)
    assert times[0] == times[1]
    # The run has removed its own directory, and not what the link in it led to.
    assert list((tmp_path / "tmp").iterdir()) == []
