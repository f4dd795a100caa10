# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The image for jobs, as far as ansible-builder goes without building: its own schema, and the files that it writes for the build."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from configuration import ROOT
from role_specs import load

DEFINITION = ROOT / "execution-environment.yml"


def pinned(package: str, *files: str) -> str:
    """The version of a package that the requirements files pin."""
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in files)
    found = re.search(rf"^{re.escape(package)}==(\S+)$", text, re.MULTILINE)
    assert found, package
    return found[1]


def create(definition: Path, context: Path) -> subprocess.CompletedProcess[str]:
    """Runs C(ansible-builder create)."""
    return subprocess.run(
        [sys.executable, "-m", "ansible_builder", "create", "-f", str(definition), "-c", str(context), "--output-filename", "Containerfile"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120,
    )


def test_create(tmp_path: Path) -> None:
    """The definition is one, and everything that it names gets into the build's context."""
    done = create(DEFINITION, tmp_path)
    assert done.returncode == 0, done.stdout
    containerfile = (tmp_path / "Containerfile").read_text(encoding="utf-8")
    build = tmp_path / "_build"
    assert load(DEFINITION)["images"]["base_image"]["name"] in containerfile
    assert f"ansible-core=={pinned('ansible-core', 'requirements.txt')}" in containerfile
    assert f"ansible-runner=={pinned('ansible-runner', 'requirements-test.txt')}" in containerfile
    assert (build / "bindep.txt").read_text(encoding="utf-8") == (ROOT / "meta" / "ee-bindep.txt").read_text(encoding="utf-8")
    collections = {entry["name"]: entry["version"] for entry in load(build / "requirements.yml")["collections"]}
    # The repository itself comes with the project, and is not there when the image is built.
    assert collections == load(ROOT / "galaxy.yml")["dependencies"]


def test_a_error_is_found(tmp_path: Path) -> None:
    """What the test above relies on."""
    wrong = tmp_path / "execution-environment.yml"
    wrong.write_text(DEFINITION.read_text(encoding="utf-8").replace("base_image:", "base_images:"), encoding="utf-8")
    done = create(wrong, tmp_path / "context")
    assert done.returncode != 0 and "base_images" in done.stdout


def test_definition_of_the_collection() -> None:
    """meta/execution-environment.yml names files that the built collection has."""
    definition = load(ROOT / "meta" / "execution-environment.yml")
    assert definition["version"] == 1
    for path in definition["dependencies"].values():
        assert (ROOT / path).is_file()
        assert not [pattern for pattern in load(ROOT / "galaxy.yml")["build_ignore"] if Path(path).match(pattern)]
    assert load(DEFINITION)["version"] == 3
