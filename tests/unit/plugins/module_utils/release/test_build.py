# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The build script around uv: a release appears whole or not at all, and credentials stay off command lines."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# Stands where uv stands: notes how it was called, makes an environment whose python answers the verification.
UV = """#!{python}
import json, os, sys
here = os.path.dirname(__file__)
with open(os.path.join(here, "calls"), "a") as file:
    file.write(json.dumps([sys.argv[1:], {{key: value for key, value in os.environ.items() if key.startswith("UV_")}}]) + "\\n")
if sys.argv[1:3] == ["cache", "clean"]:
    import shutil
    shutil.rmtree(os.environ["UV_CACHE_DIR"])
if sys.argv[1] == "venv":
    os.makedirs(os.path.join(sys.argv[-1], "bin"))
    python = os.path.join(sys.argv[-1], "bin", "python")
    open(python, "w").write("#!/bin/sh\\necho noise\\ncat " + os.path.join(here, "verification.json") + "\\n")
    os.chmod(python, 0o755)
if "compile" in sys.argv:
    if os.path.exists(os.path.join(here, "no-solution")):
        sys.exit("No solution found when resolving dependencies: there is no version of vllm==9.9.9")
    def given(option):
        return sys.argv[sys.argv.index(option) + 1]
    # Find-links with a torch for processors, which counts as newer; the index has the other one if it has any.
    torch = "torch==2.0+cpu" if os.path.exists(os.path.join(here, "cpu-torch")) else "torch==2.0"
    if "torch!=2.0+cpu" in open(given("--constraints")).read() and os.path.exists(os.path.join(here, "gpu-torch")):
        torch = "torch==2.0"
    engine = open(sys.argv[-1]).read().split()[0]
    open(given("--output-file"), "w").write(engine + " --hash=sha256:0\\n" + torch + " --hash=sha256:1\\n")
if sys.argv[1] == "build":
    open(os.path.join(sys.argv[sys.argv.index("--out-dir") + 1], "vllm-1.2.4+cpu-py3-none-any.whl"), "w").write("built from " + sys.argv[-1])
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
        self.verify("1.2.3+cpu")
        self.spec: dict[str, Any] = {
            "name": "vllm-1.2.3-abc", "path": str(self.path), "engine": "vllm", "package": "vllm", "version": "1.2.3+cpu",
            "source": {"kind": "index", "address": "", "reference": "", "sha256": ""}, "requirements": ["ray==2.60.0"], "overrides": [],
            "python": "/usr/bin/python3", "torch_backend": "", "cpu": True, "build_environment": {}, "verify_commands": [],
            "uv": str(uv), "cache_dir": str(base / "cache"), "status_file": str(base / "status.json"),
            "index": {"index_url": "https://user:geheim@index.example/simple", "extra_index_urls": [], "find_links": [], "no_index": False},
        }

    def verify(self, version: str, accelerator: str | None = None) -> None:
        (self.base / "verification.json").write_text(json.dumps({"version": version, "torch": "2", "cuda": accelerator, "accelerator": accelerator}) + "\n")

    def come_from(self, kind: str, address: Path | str, reference: str = "", sha256: str = "") -> None:
        self.spec["source"] = {"kind": kind, "address": str(address), "reference": reference, "sha256": sha256}

    def arguments(self, command: str) -> list[str]:
        [found] = [arguments for arguments, _environment in self.calls() if arguments[0] == command]
        return list(found)

    def record(self) -> dict[str, Any]:
        return json.loads((self.path / "release.json").read_text())

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


def test_a_verified_release_gets_its_name_its_lock_and_its_record(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab.run(monkeypatch) == 0
    assert lab.folders() == ["vllm-1.2.3-abc"]
    assert json.loads((lab.path / "release.json").read_text())["verification"]["version"] == "1.2.3+cpu"
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


def test_a_release_with_the_record_of_the_version_before_is_not_built_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two keys had other names there. The name of the release decides, and they take no part in it."""
    lab.path.mkdir()
    former: dict[str, Any] = {"name": lab.path.name}
    former["proofs"], former["proof"] = [], {"version": "1.2.3+cpu"}
    (lab.path / "release.json").write_text(json.dumps(former))
    lab.spec["verify_commands"] = [["/bin/false"]]
    assert lab.run(monkeypatch) == 0
    assert lab.calls() == [] and lab.record()["proof"]["version"] == "1.2.3+cpu"


def test_a_version_that_does_not_exist_leaves_nothing_behind(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.base / "no-solution").touch()
    assert lab.run(monkeypatch) == 1
    assert lab.folders() == []
    assert "no version of vllm==9.9.9" in lab.status()["error"] and "vllm_version" in lab.status()["fix"]


@pytest.mark.parametrize("version", ["1.2.4", "1.2"])
def test_another_version_than_the_one_asked_for_is_no_release(lab: Lab, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    lab.verify(version)
    assert lab.run(monkeypatch) == 1
    assert lab.folders() == [] and f"vllm {version} was installed" in lab.status()["error"]


def test_what_a_killed_build_left_is_not_used(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    left = lab.path.parent / ".building-vllm-1.2.3-abc" / "half"
    left.parent.mkdir()
    left.touch()
    assert lab.run(monkeypatch) == 0
    assert not (lab.path / "half").exists() and lab.folders() == ["vllm-1.2.3-abc"]


def test_a_torch_for_processors_is_left_out_of_a_release_for_gpus(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cpu-torch", "gpu-torch"):
        (lab.base / name).touch()
    lab.spec["cpu"] = False
    lab.verify("1.2.3", "13.0")
    assert lab.run(monkeypatch) == 0
    assert (lab.path / "requirements.lock").read_text().splitlines()[1].split()[0] == "torch==2.0"
    assert (lab.path / "constraints.txt").read_text() == "torch!=2.0+cpu\n"


def test_a_release_for_gpus_that_finds_no_other_torch_is_refused_before_it_is_installed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.base / "cpu-torch").touch()
    lab.spec["cpu"] = False
    assert lab.run(monkeypatch) == 1
    assert lab.folders() == [] and "only torch==2.0+cpu is available" in lab.status()["error"]
    assert not any("install" in arguments for arguments, _environment in lab.calls())


def test_a_cpu_build_takes_the_torch_for_processors(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.base / "cpu-torch").touch()
    assert lab.run(monkeypatch) == 0
    assert "torch==2.0+cpu" in (lab.path / "requirements.lock").read_text()


def test_a_torch_that_does_not_say_so_and_has_no_accelerator_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.spec["cpu"] = False
    assert lab.run(monkeypatch) == 1
    assert lab.folders() == [] and "is a CPU build" in lab.status()["error"]


def test_further_verify_commands_run_in_the_unfinished_folder_and_can_fail_the_build(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.spec["verify_commands"] = [["/bin/sh", "-c", "test -e requirements.lock && basename $PWD > check-ran"]]
    assert lab.run(monkeypatch) == 0
    assert (lab.path / "check-ran").read_text() == ".building-vllm-1.2.3-abc\n"
    lab.spec["name"], lab.spec["path"] = "vllm-2", str(lab.path.parent / "vllm-2")
    lab.spec["verify_commands"] += [["/bin/sh", "-c", "echo 'ptxas: Unsupported .version 9.5'; exit 3"]]
    assert lab.run(monkeypatch) == 1
    assert lab.folders() == ["vllm-1.2.3-abc"] and "status 3: ptxas: Unsupported .version 9.5" in lab.status()["error"]


def test_a_verify_command_that_is_not_there_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.spec["verify_commands"] = [["/no/such/check"]]
    assert lab.run(monkeypatch) == 1
    assert "/no/such/check does not exist" in lab.status()["error"] and lab.folders() == []


def test_an_sdist_is_built_into_a_wheel_that_is_kept(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    sdist = lab.base / "vllm-1.2.4.tar.gz"
    sdist.write_bytes(b"source")
    lab.come_from("file", sdist)
    lab.spec["index"]["no_index"] = True
    lab.verify("1.2.4+cpu")
    assert lab.run(monkeypatch) == 0
    wheel = "vllm-1.2.4+cpu-py3-none-any.whl"
    assert [path.name for path in (lab.path / "wheels").iterdir()] == [wheel]
    assert lab.record()["resolved"] == {"sha256": hashlib.sha256(b"source").hexdigest(), "wheel": wheel}
    assert (lab.path / "requirements.lock").read_text().startswith("vllm==1.2.4+cpu ") and not (lab.path / ".source").exists()
    for arguments, environment in lab.calls()[1:]:
        assert "--no-index" in arguments
    assert environment["UV_FIND_LINKS"].endswith("/wheels")


@pytest.mark.parametrize("given", ["", hashlib.sha256(b"other").hexdigest()], ids=["wheel", "changed wheel"])
def test_a_wheel_is_taken_as_it_is_if_it_is_the_one_meant(lab: Lab, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    wheel = lab.base / "vllm-1.2.3+cpu-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    lab.come_from("file", wheel, sha256=given)
    assert lab.run(monkeypatch) == (1 if given else 0)
    if given:
        assert lab.folders() == [] and f"instead of {given}" in lab.status()["error"]
    else:
        assert (lab.path / "wheels" / wheel.name).read_bytes() == b"wheel" and "build" not in [arguments[0] for arguments, _environment in lab.calls()]


def test_a_file_that_is_not_there_or_not_vllm_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.come_from("file", lab.base / "gone.tar.gz")
    assert lab.run(monkeypatch) == 1 and "cannot read " in lab.status()["error"] and "gone.tar.gz" in lab.status()["error"]
    other = lab.base / "other-1.2.3-py3-none-any.whl"
    other.touch()
    lab.come_from("file", other)
    assert lab.run(monkeypatch) == 1 and "contains other 1.2.3" in lab.status()["error"] and lab.folders() == []


@pytest.mark.parametrize("reference", ["main", "v1", ""], ids=["branch", "tag", "commit"])
def test_a_branch_is_resolved_to_a_commit(lab: Lab, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    repository = lab.base / "repository"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-C", str(repository)]
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(repository)], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message=one"], check=True)
    subprocess.run([*git, "tag", "v1"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    lab.come_from("git", repository.as_uri(), reference or commit)
    lab.verify("1.2.4")
    assert lab.run(monkeypatch) == 0
    assert lab.record()["resolved"]["commit"] == commit
    assert lab.arguments("build")[-1].endswith("/.source")


def test_a_repository_without_the_commit_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.come_from("git", (lab.base / "none").as_uri(), "main")
    assert lab.run(monkeypatch) == 1
    assert "git clone ended with status 128" in lab.status()["error"] and "vllm_source" in lab.status()["fix"] and lab.folders() == []


def test_a_nightly_is_the_newest_of_its_line(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.come_from("nightly", "")
    lab.verify("1.2.9.dev3+gabc")
    assert lab.run(monkeypatch) == 0
    assert (lab.path / "requirements.in").read_text().startswith("vllm==1.2.*\n")
    [compiled] = [arguments for arguments, _environment in lab.calls() if "compile" in arguments]
    assert compiled[compiled.index("--prerelease-package") + 1] == "vllm=allow"


def test_a_nightly_of_another_line_is_no_release(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.come_from("nightly", "")
    lab.verify("1.3.0.dev3")
    assert lab.run(monkeypatch) == 1 and "1.3.0.dev3 was installed" in lab.status()["error"]


def test_a_python_that_uv_brings(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version is one that uv brings, into a folder that stays; from a mirror where one is named. Others are never downloaded."""
    lab.spec.update(python="3.12", python_dir="/opt/inferops/python", python_mirror="file:///srv/python")
    assert lab.run(monkeypatch) == 0
    assert lab.arguments("venv")[-2:] == ["3.12", str(lab.path.parent / ".building-vllm-1.2.3-abc")]
    for _arguments, environment in lab.calls():
        wanted = {"UV_MANAGED_PYTHON": "1", "UV_PYTHON_INSTALL_DIR": "/opt/inferops/python", "UV_PYTHON_DOWNLOADS": "automatic"}
        assert {**wanted, "UV_PYTHON_INSTALL_MIRROR": "file:///srv/python"}.items() <= environment.items()
    assert lab.record()["python"] == "3.12"


def test_an_interpreter_of_the_host_downloads_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.spec.update(python_dir="/opt/inferops/python", python_mirror="file:///srv/python")
    assert lab.run(monkeypatch) == 0
    for _arguments, environment in lab.calls():
        assert environment["UV_PYTHON_DOWNLOADS"] == "never" and "UV_MANAGED_PYTHON" not in environment


def test_a_python_that_cannot_be_had_names_the_mirror(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.base / "uv").write_text("#!/bin/sh\necho 'error: failed to download'; exit 2\n")
    lab.spec.update(python="3.12", python_dir="/opt/inferops/python", python_mirror="")
    assert lab.run(monkeypatch) == 1
    assert "vllm_python_mirror" in lab.status()["fix"]


REAL_UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


@pytest.mark.skipif(REAL_UV is None, reason="no uv")
def test_real_uv_asks_the_mirror(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv itself looks below the mirror's address, in the folders of the releases on GitHub."""
    lab.spec.update(uv=REAL_UV, python="3.12", python_dir=str(lab.base / "python"), python_mirror=f"file://{lab.base}/mirror")
    assert lab.run(monkeypatch) == 1
    assert f"{lab.base}/mirror/" in lab.status()["error"] and "/cpython-3.12" in lab.status()["error"]
