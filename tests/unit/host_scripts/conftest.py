# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Loads the scripts that roles put on a host, which are files and not modules of a package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _releases

ROLES = Path(__file__).resolve().parents[3] / "roles"


def load(role: str, name: str) -> ModuleType:
    folder = ROLES / role / "files"
    # On a host they lie in one folder and import each other.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    path = folder / f"{name}.py"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture
def fetch_weights() -> ModuleType:
    return load("weights", "fetch_weights")


@pytest.fixture
def build_release(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # The role copies it beside the script under this name.
    monkeypatch.setitem(sys.modules, "releases", _releases)
    return load("vllm", "build_release")
