# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plays of unit tests are runs of their own: environment, directory, output, status and time limit are those of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible_runs import playbook

PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.command: sh -c 'echo "$MINE in $PWD"; sleep {seconds}; exit {status}'
"""


def play(folder: Path, status: int = 0, seconds: int = 0, timeout: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "play.yml").write_text(PLAY.format(status=status, seconds=seconds), encoding="utf-8")
    interpreter = f"ansible_python_interpreter={sys.executable}"
    return playbook("-i", "localhost,", "-c", "local", "-e", interpreter, "-v", "play.yml", cwd=folder, env=env, timeout=timeout)


def test_each_run_is_its_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        done = play(tmp_path / name, MINE=f"variable of {name}")
        assert done.returncode == 0 and f"variable of {name} in {tmp_path / name}" in done.stdout, done.stdout
    assert play(tmp_path / "one", status=3).returncode == 2
    wrong = playbook("--no-such-option", cwd=tmp_path, merged=False)
    assert wrong.returncode == 2 and wrong.stdout == "" and wrong.stderr.startswith("usage: ansible-playbook")


def test_a_run_that_takes_too_long(tmp_path: Path) -> None:
    """It is killed, and the next one runs."""
    with pytest.raises(subprocess.TimeoutExpired):
        play(tmp_path, seconds=600, timeout=8)
    assert play(tmp_path).returncode == 0
