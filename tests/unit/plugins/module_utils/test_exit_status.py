# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a program ended, in words: signals by name and with what they usually come from, wherever an exit status is read."""

from __future__ import annotations

import subprocess
import sys

from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _exit_status, _nvidia, _systemd
from ansible_collections.inferops.gpu.plugins.modules import vllm_arguments

PARSER = SimpleNamespace(__name__="parser", __loader__=SimpleNamespace(get_source=lambda name: "a program"))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "ended with status 0"),
        (3, "ended with status 3"),
        # uv and git have such statuses of their own: no signal bears the number.
        (128, "ended with status 128"),
        (255, "ended with status 255"),
        (-9, "was killed by SIGKILL (usually by the kernel, because the host or the unit's control group ran out of memory"),
        # As a shell tells of it.
        (137, "was killed by SIGKILL (usually by the kernel"),
        (-11, "was killed by SIGSEGV (an error in native code"),
        (-7, "was killed by SIGBUS (a memory-mapped file"),
        (-6, "was killed by SIGABRT (native code aborted"),
        (-31, "was killed by SIGSYS (a system call that the unit's SystemCallFilter"),
        (-10, "was killed by SIGUSR1"),
        (-200, "was killed by signal 200"),
    ],
)
def test_describe(status: int, said: str) -> None:
    assert _exit_status.describe(status).startswith(said)


def test_a_real_program_that_is_killed() -> None:
    done = subprocess.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], check=False)
    assert "SIGKILL" in _exit_status.describe(done.returncode) and "journalctl -k" in _exit_status.describe(done.returncode)


def killed(folder: Path, name: str, words: str = "") -> str:
    """A program that says something and is killed."""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat > /dev/null < /dev/stdin\n{words}\nkill -KILL $$\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("words", ["", "echo a warning before it >&2"])
def test_a_parser_that_is_killed(tmp_path: Path, words: str) -> None:
    """And not what it happened to say before."""
    with pytest.raises(RuntimeError, match=r"^It was killed by SIGKILL \(usually by the kernel"):
        vllm_arguments.ask(PARSER, killed(tmp_path, "python", words), [], {}, None, None)


def test_a_parser_that_crashes_is_told_by_its_traceback(tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\necho ImportError: no torch >&2; exit 1\n")
    path.chmod(0o755)
    with pytest.raises(RuntimeError, match="^ImportError: no torch$"):
        vllm_arguments.ask(PARSER, str(path), [], {}, None, None)


def test_nvidia_smi_and_systemctl_that_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvidia-smi", "systemctl"):
        killed(tmp_path, name)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert _nvidia.ask("-L")[1].startswith("nvidia-smi was killed by SIGKILL (")
    with pytest.raises(RuntimeError, match=r"systemctl show: was killed by SIGKILL"):
        _systemd.systemctl("show")
