# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""host_index_credentials: real uv, pip and git, and the build's own download, against a server on loopback that asks for a password."""

from __future__ import annotations

import base64
import functools
import http.server
import io
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.filter.netrc import netrc
from ansible_collections.inferops.gpu.plugins.module_utils._index import installer_environment
from ansible_collections.inferops.gpu.plugins.module_utils.release import source
from ansible_collections.inferops.gpu.plugins.module_utils.release import steps as build_steps

SECRET = "s3cr3tOfTheTest"
UV = Path(sys.executable).with_name("uv")


@functools.lru_cache(maxsize=None)
def wheel() -> bytes:
    """A wheel with nothing in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("locked-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: locked\nVersion: 1.0\n")
        archive.writestr("locked-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("locked-1.0.dist-info/RECORD", "")
    return file.getvalue()


class Locked(http.server.SimpleHTTPRequestHandler):
    """Gives its files to who shows user and password."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *_arguments: Any) -> None:
        """Says nothing."""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """The address of a server with a package and a repository."""
    folder = tmp_path / "served"
    (folder / "simple" / "locked").mkdir(parents=True)
    (folder / "locked-1.0-py3-none-any.whl").write_bytes(wheel())
    (folder / "simple" / "locked" / "index.html").write_text('<a href="/locked-1.0-py3-none-any.whl">locked-1.0-py3-none-any.whl</a>', encoding="utf-8")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Locked, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def steps() -> tuple[ModuleType, ModuleType]:
    """The build's steps and its sources."""
    return build_steps, source


def specification(tmp_path: Path, index: str, password: str | None) -> dict[str, Any]:
    path = tmp_path / "netrc"
    if password is not None:
        path.write_text(netrc({"127.0.0.1": {"user": "me", "password": password}}), encoding="utf-8")
    return {
        "index": {"index_url": f"{index}/simple", "extra_index_urls": [], "find_links": [], "no_index": False}, "cache_dir": str(tmp_path / "cache"),
        "python": "/usr/bin/python3", "torch_backend": "", "netrc": str(path),
    }


CASES = pytest.mark.parametrize(("password", "works"), [(SECRET, True), (None, False), (f"not{SECRET}", False)], ids=["right", "none", "wrong"])


@CASES
def test_uv(tmp_path: Path, index: str, steps: tuple[ModuleType, ModuleType], password: str | None, works: bool) -> None:
    environment = {**steps[0].uv_environment(specification(tmp_path, index, password)), "HOME": str(tmp_path), "UV_HTTP_RETRIES": "0"}
    (tmp_path / "in.txt").write_text("locked==1.0\n", encoding="utf-8")
    command = [str(UV), "pip", "compile", "--quiet", "--python", sys.executable, str(tmp_path / "in.txt")]
    if works:
        assert "locked==1.0" in steps[0].run(command, environment, "")
        return
    with pytest.raises(steps[0].BuildError) as error:
        steps[0].run(command, environment, "")
    assert SECRET not in str(error.value)


@CASES
def test_pip(tmp_path: Path, index: str, password: str | None, works: bool) -> None:
    found = installer_environment(f"{index}/simple", [], [], specification(tmp_path, index, password)["netrc"])
    environment = {**os.environ, **found, "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps", "--retries=0", "--dest", str(tmp_path / "got"), "locked==1.0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode == 0) is works, done.stderr
    assert SECRET not in done.stdout + done.stderr


@CASES
def test_the_build_s_own_download(tmp_path: Path, index: str, steps: tuple[ModuleType, ModuleType], password: str | None, works: bool) -> None:
    """Of an sdist or wheel."""
    (tmp_path / "work").mkdir()
    address = f"{index}/locked-1.0-py3-none-any.whl"
    spec = {**specification(tmp_path, index, password), "source": {"address": address, "sha256": ""}}
    status = steps[0].Status(str(tmp_path / "status.json"))
    if works:
        path, resolved = steps[1].fetch(spec, str(tmp_path / "work"), status)
        assert Path(path).read_bytes() == wheel() and len(resolved["sha256"]) == 64
        return
    with pytest.raises(steps[0].BuildError) as error:
        steps[1].fetch(spec, str(tmp_path / "work"), status)
    assert "401" in str(error.value) and SECRET not in str(error.value)


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
@CASES
def test_git(tmp_path: Path, index: str, steps: tuple[ModuleType, ModuleType], password: str | None, works: bool) -> None:
    """It reads a .netrc in its home, which is another one for the build."""
    repository = tmp_path / "served" / "repository.git"
    author = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "--quiet", "--bare", str(repository)], ["init", "--quiet", str(tmp_path / "tree")],
                    ["-C", str(tmp_path / "tree"), *author, "commit", "--quiet", "--allow-empty", "-m", "one"],
                    ["-C", str(tmp_path / "tree"), "push", "--quiet", str(repository), "HEAD:refs/heads/main"], ["-C", str(repository), "update-server-info"]):
        subprocess.run(["git", *command], check=True, capture_output=True)
    home = tmp_path / "home"
    home.mkdir()
    found = steps[1].git_home(specification(tmp_path, index, password), str(home))
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "HOME": str(home), **found}
    command = ["git", "ls-remote", f"{index}/repository.git"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ("refs/heads/main" in done.stdout) is works, done.stderr
    assert bool(found) is (password is not None)


def test_a_netrc_that_is_none(tmp_path: Path, index: str, steps: tuple[ModuleType, ModuleType]) -> None:
    """Its parser quotes what it does not understand."""
    (tmp_path / "work").mkdir()
    spec = {**specification(tmp_path, index, None), "source": {"address": f"{index}/locked-1.0-py3-none-any.whl", "sha256": ""}}
    Path(spec["netrc"]).write_text(f"machine x password {SECRET} {SECRET}\n", encoding="utf-8")
    with pytest.raises(steps[0].BuildError) as error:
        steps[1].fetch(spec, str(tmp_path / "work"), steps[0].Status(str(tmp_path / "status.json")))
    assert SECRET not in str(error.value)
