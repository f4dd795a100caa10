# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The build script around uv: a release appears whole or not at all, and credentials stay off command lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# Stands where uv stands: notes how it was called, makes an environment whose python answers the proof.
UV = """#!{python}
import json, os, sys
here = os.path.dirname(__file__)
with open(os.path.join(here, "calls"), "a") as file:
    file.write(json.dumps([sys.argv[1:], {{key: value for key, value in os.environ.items() if key.startswith("UV_")}}]) + "\\n")
if sys.argv[1] == "venv":
    os.makedirs(os.path.join(sys.argv[-1], "bin"))
    python = os.path.join(sys.argv[-1], "bin", "python")
    open(python, "w").write("#!/bin/sh\\necho noise\\ncat " + os.path.join(here, "proof.json") + "\\n")
    os.chmod(python, 0o755)
if "compile" in sys.argv:
    if os.path.exists(os.path.join(here, "no-solution")):
        sys.exit("No solution found when resolving dependencies: there is no version of vllm==9.9.9")
    open(sys.argv[sys.argv.index("--output-file") + 1], "w").write("vllm==1.2.3 --hash=sha256:0\\n")
"""


class Lab:
    """A folder with uv in it, and the specification of a build."""

    def __init__(self, base: Path, script: ModuleType) -> None:
        self.base, self.script = base, script
        uv = base / "uv"
        uv.write_text(UV.format(python=sys.executable))
        uv.chmod(0o755)
        self.path = base / "releases" / "vllm-1.2.3-abc"
        self.path.parent.mkdir()
        self.prove("1.2.3+cpu")
        self.spec: dict[str, Any] = {
            "name": "vllm-1.2.3-abc", "path": str(self.path), "engine": "vllm", "package": "vllm", "version": "1.2.3+cpu",
            "source": {"kind": "index", "address": "", "reference": "", "sha256": ""}, "requirements": ["ray==2.60.0"], "overrides": [],
            "python": "/usr/bin/python3", "torch_backend": "", "cpu": True, "build_environment": {}, "proofs": [], "uv": str(uv), "cache_dir": str(base / "cache"), "status_file": str(base / "status.json"),
            "index": {"index_url": "https://user:geheim@index.example/simple", "extra_index_urls": [], "find_links": [], "no_index": False},
        }

    def prove(self, version: str) -> None:
        (self.base / "proof.json").write_text(json.dumps({"version": version, "torch": "2", "cuda": None, "accelerator": None}) + "\n")

    def run(self, monkeypatch: pytest.MonkeyPatch) -> int:
        (self.base / "spec.json").write_text(json.dumps(self.spec))
        monkeypatch.setattr(sys, "argv", ["build_release.py", str(self.base / "spec.json")])
        return int(self.script.main())

    def calls(self) -> list[Any]:
        path = self.base / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def status(self) -> dict[str, Any]:
        return json.loads((self.base / "status.json").read_text())

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.path.parent.iterdir())


@pytest.fixture
def lab(tmp_path: Path, build_release: ModuleType) -> Lab:
    return Lab(tmp_path, build_release)


def test_a_proven_release_gets_its_name_its_lock_and_its_record(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab.run(monkeypatch) == 0
    assert lab.folders() == ["vllm-1.2.3-abc"]
    assert json.loads((lab.path / "release.json").read_text())["proof"]["version"] == "1.2.3+cpu"
    assert "vllm==1.2.3" in (lab.path / "requirements.lock").read_text()


def test_credentials_are_in_the_environment_and_not_in_the_arguments(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.run(monkeypatch)
    for arguments, environment in lab.calls():
        assert "geheim" not in " ".join(arguments)
        assert environment["UV_DEFAULT_INDEX"] == "https://user:geheim@index.example/simple"
    assert "geheim" not in (lab.path / "release.json").read_text()


def test_a_standing_release_is_not_built_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.run(monkeypatch)
    before = len(lab.calls())
    assert lab.run(monkeypatch) == 0
    assert len(lab.calls()) == before


def test_a_version_that_does_not_exist_leaves_nothing_behind(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.base / "no-solution").touch()
    assert lab.run(monkeypatch) == 1
    assert lab.folders() == []
    assert "no version of vllm==9.9.9" in lab.status()["error"] and "vllm_version" in lab.status()["remedy"]


@pytest.mark.parametrize("version", ["1.2.4", "1.2"])
def test_another_version_than_the_one_asked_for_is_no_release(lab: Lab, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    lab.prove(version)
    assert lab.run(monkeypatch) == 1
    assert lab.folders() == [] and f"vllm {version} was installed" in lab.status()["error"]


def test_what_a_killed_build_left_is_not_used(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    left = lab.path.parent / ".building-vllm-1.2.3-abc" / "half"
    left.parent.mkdir()
    left.touch()
    assert lab.run(monkeypatch) == 0
    assert not (lab.path / "half").exists() and lab.folders() == ["vllm-1.2.3-abc"]
