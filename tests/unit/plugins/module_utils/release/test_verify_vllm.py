# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verification of a release writes the bytecode that its engine's processes would otherwise compile at each start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils.release import verify_vllm


def test_packages_are_compiled_with_all_their_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the release has, also where a file is no valid Python; other packages are left alone."""
    for name in ("lab_ray/__init__.py", "lab_ray/dashboard/agent.py", "lab_other/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("value = 1\n", encoding="utf-8")
    (tmp_path / "lab_ray" / "template.py").write_text("{{ no python }}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    # The tests keep their own byte code elsewhere.
    monkeypatch.setattr(sys, "pycache_prefix", None)
    verify_vllm.compile_packages(["lab_ray", "lab_missing", "lab_missing.part"])
    found = {path.relative_to(tmp_path).as_posix().partition(".")[0] for path in tmp_path.rglob("*.pyc")}
    assert found == {"lab_ray/__pycache__/__init__", "lab_ray/dashboard/__pycache__/agent"}


def test_ray_is_among_them() -> None:
    """Each of its processes imports it, on every node and at every start of a service."""
    assert {"vllm", "ray"} <= set(verify_vllm.PACKAGES)
