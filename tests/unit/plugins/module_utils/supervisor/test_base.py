# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Directories that a supervisor creates as the service's account: root creates none in the service's own cache."""

from __future__ import annotations

import stat
import threading
import types
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import base, threads


def test_the_folder_in_which_engine_and_ranks_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the program starts, at each start, and for nobody else."""
    folder = tmp_path / "cache" / "rpc"
    monkeypatch.setenv("VLLM_RPC_BASE_PATH", str(folder))
    there: list[bool] = []
    made = object.__new__(base.Supervisor)
    made.threads = threads.Threads()
    made.options = types.SimpleNamespace(clean=[], withhold=[])
    made.process = types.SimpleNamespace(start=lambda threads, on_line, on_end: there.append(folder.is_dir()), runs=False)
    monkeypatch.setattr(base.Supervisor, "watch", lambda self, worker: None)
    for _start in range(2):
        made.start()
    assert there == [True, True] and not stat.S_IMODE(folder.stat().st_mode) & 0o007
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(1)
