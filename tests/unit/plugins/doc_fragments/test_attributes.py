# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules say of themselves with the fragments that they have in common."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _proxy

ROOT = Path(__file__).resolve().parents[4]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
# Those that playbooks of users may call.
PUBLIC = {"api_check", "gpu_facts", "host_facts", "plan", "service_state", "service_status", "unit_status"}
NOTE = "This module is for the roles of this collection."


@pytest.fixture(scope="module")
def documentation() -> dict[str, Any]:
    """What ansible-doc shows of each module."""
    command = [str(Path(sys.executable).with_name("ansible-doc")), "--json", "--type", "module", *(f"inferops.gpu.{name}" for name in MODULES)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}, capture_output=True, text=True, check=True, timeout=120,
    )
    return {name.rpartition(".")[2]: about["doc"] for name, about in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", MODULES)
def test_attributes(documentation: dict[str, Any], name: str) -> None:
    """Each module says how it takes check mode and differences."""
    attributes = documentation[name]["attributes"]
    assert {"check_mode", "diff_mode"} <= set(attributes)
    assert all(about["support"] in ("full", "partial", "none") and about["description"] for about in attributes.values())


@pytest.mark.parametrize("name", ["python_tool", "weights_probe"])
def test_options_of_the_proxy(documentation: dict[str, Any], name: str) -> None:
    """As the code that reads them has them."""
    found = {option: {key: about.get(key) for key in ("type", "default")} for option, about in documentation[name]["options"].items() if option in _proxy.OPTIONS}
    assert found == {option: {key: about.get(key) for key in ("type", "default")} for option, about in _proxy.OPTIONS.items()}


@pytest.mark.parametrize("name", MODULES)
def test_modules_of_the_roles_say_so(documentation: dict[str, Any], name: str) -> None:
    """What is no interface for users is marked as that."""
    assert any(note.startswith(NOTE) for note in documentation[name].get("notes", [])) is (name not in PUBLIC)
