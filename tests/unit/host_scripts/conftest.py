# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Loads the scripts that roles put on a host, which are files and not modules of a package, and the lab's mirror to try them on."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _exit_status, _http_client, _hub_answers, _releases
from host_script import ROLES, ROOT, load

# The role copies them beside the program under these names.
sys.modules.setdefault("http_client", _http_client)
sys.modules.setdefault("hub_answers", _hub_answers)
# Repositories for the mirror.
sys.path.append(str(ROOT / "tests" / "tools"))


@pytest.fixture
def fetch_weights(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program that downloads. What stands beside it is found as by Python when it runs a folder."""
    folder = ROLES / "weights" / "files" / "fetch_weights"
    monkeypatch.syspath_prepend(str(folder))
    # The role copies it into the folder under this name.
    monkeypatch.setitem(sys.modules, "exit_status", _exit_status)
    return load(folder / "__main__.py", "fetch_weights")


@pytest.fixture
def build_release(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # The role copies them beside the script under these names.
    monkeypatch.setitem(sys.modules, "releases", _releases)
    monkeypatch.setitem(sys.modules, "exit_status", _exit_status)
    return load(ROLES / "vllm" / "files" / "build_release.py", "build_release")


class Mirror:
    """The lab's mirror on a port of this machine, over a folder of models."""

    def __init__(self, models: Path) -> None:
        sys.path.append(str(ROOT / "lab" / "mirror"))
        self.server = importlib.import_module("hub_mirror").serve(models, models, "127.0.0.1", 0, None)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def behave(self, **settings: Any) -> None:
        self.server.RequestHandlerClass.mood.update(settings)

    def files(self) -> dict[str, dict[str, int]]:
        """Requests, tokens and bytes by path."""
        rows = self.server.RequestHandlerClass.stats.as_dict()["files"]
        return {name.partition("/")[2].partition("/")[2]: row for name, row in rows.items()}

    @property
    def sent(self) -> int:
        return sum(row["bytes"] for row in self.files().values())


@pytest.fixture
def mirrors(tmp_path: Path) -> Iterator[tuple[Mirror, Mirror]]:
    (tmp_path / "models").mkdir()
    made = (Mirror(tmp_path / "models"), Mirror(tmp_path / "models"))
    yield made
    for mirror in made:
        mirror.server.shutdown()
        mirror.server.server_close()
