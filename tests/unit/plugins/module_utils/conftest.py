# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The programs of the host library: as modules, and as they lie on a host."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _library
from ansible_collections.inferops.gpu.plugins.module_utils.fetch import main as fetch_program
from ansible_collections.inferops.gpu.plugins.module_utils.release import build
from ansible_collections.inferops.gpu.plugins.plugin_utils import host_library


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library as a host has it: what C(lib/current) leads to."""
    folder = tmp_path_factory.mktemp("lib")
    _library.install(str(folder), host_library.read())
    return folder / _library.CURRENT


@pytest.fixture
def fetch_weights() -> ModuleType:
    """The program that downloads."""
    return fetch_program


@pytest.fixture
def build_release() -> ModuleType:
    return build
