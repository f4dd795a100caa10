# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host library: whole or not there, named by its contents, called by one name, and kept for as long as a program runs from it."""

from __future__ import annotations

import ast
import base64
import errno
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError
from ansible_collections.inferops.gpu.plugins.lookup.host_library import LookupModule
from ansible_collections.inferops.gpu.plugins.module_utils import _host, _library, _main
from ansible_collections.inferops.gpu.plugins.modules import host_library as module
from ansible_collections.inferops.gpu.plugins.plugin_utils import host_library

# Says which library it is of, and goes on until its input ends; then it imports something for the first time.
PROGRAM = b"""
def main():
    import sys
    print("runs", flush=True)
    sys.stdin.read()
    from . import _other
    print(_other.WHICH, flush=True)
"""
FORMER = "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)\n"


def files(which: str) -> dict[str, bytes]:
    main = Path(_main.__file__).read_bytes()
    return {"__main__.py": main, "inferops_gpu/program.py": PROGRAM, "inferops_gpu/_other.py": f"WHICH = {which!r}\n".encode()}


def name(which: str) -> str:
    return host_library.digest(files(which))


@pytest.fixture
def lib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "units").mkdir()
    monkeypatch.setattr(_host, "UNIT_DIRECTORY", str(tmp_path / "units"))
    return tmp_path / "lib"


@pytest.fixture
def started(lib: Path) -> Iterator[Any]:
    """Start the program as a unit does."""
    running: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-EsB", str(lib / "current"), "program"]
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert running[-1].stdout is not None and running[-1].stdout.readline() == "runs\n"
        return running[-1]

    yield start
    for one in running:
        one.kill()
        one.wait()


def test_it_is_whole_and_readable_whatever_the_umask_is(lib: Path) -> None:
    before = os.umask(0o077)
    try:
        _library.install(str(lib), files("one"))
    finally:
        os.umask(before)
    assert os.readlink(lib / "current") == name("one") == _library.in_force(str(lib))
    found = [path for path in (lib / name("one")).rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in found if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in [lib / name("one"), *found] if path.is_dir()} == {0o755}


@pytest.mark.parametrize("step", ["fsync", "rename", "symlink", "replace"])
def test_a_run_that_dies_changes_nothing_for_programs(lib: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """And the next one finishes, with nothing left."""
    _library.install(str(lib), files("one"))

    def full(*words: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as dying:
        dying.setattr(os, step, full)
        with pytest.raises(OSError, match="No space"):
            _library.install(str(lib), files("two"))
    assert _library.in_force(str(lib)) == name("one")
    _library.install(str(lib), files("two"))
    _library.prune(str(lib), str(lib.parent))
    assert _library.in_force(str(lib)) == name("two") and sorted(os.listdir(lib)) == sorted([name("two"), "current"])


def test_a_running_program_goes_on_with_its_own(lib: Path, started: Any) -> None:
    """Also with what it imports later: half of it would be another version."""
    _library.install(str(lib), files("one"))
    program = started()
    _library.install(str(lib), files("two"))
    assert _library.prune(str(lib), str(lib.parent)) == [] and (lib / name("one")).is_dir()
    assert program.communicate("") == ("one\n", None)
    assert started().communicate("") == ("two\n", None)
    assert _library.prune(str(lib), str(lib.parent)) == [str(lib / name("one"))]
    assert sorted(os.listdir(lib)) == sorted([name("two"), "current"])


def test_a_library_that_goes_while_a_program_starts(lib: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the one that came into force meanwhile."""
    _library.install(str(lib), files("one"))
    real = os.path.realpath
    looks: list[str] = []

    def slow(path: str) -> str:
        found = real(path)
        looks.append(found)
        if len(looks) == 1:
            _library.install(str(lib), files("two"))
            monkeypatch.setattr(os.path, "realpath", real)
            _library.prune(str(lib), str(lib.parent))
            monkeypatch.setattr(os.path, "realpath", slow)
        return found

    monkeypatch.setattr(os.path, "realpath", slow)
    assert _main.hold(str(lib / "current")) == str(lib / name("two")) and looks[0] == str(lib / name("one"))
    monkeypatch.setattr(os.path, "realpath", real)
    with pytest.raises(FileNotFoundError, match="run the playbook again"):
        _main.hold(str(lib / "nothing"))


def test_what_was_changed_on_the_host_is_not_in_force(lib: Path, started: Any) -> None:
    """It comes again beside the changed one, which programs may run from."""
    _library.install(str(lib), files("one"))
    program = started()
    (lib / name("one") / "inferops_gpu" / "_other.py").write_text("WHICH = 'mine'\n")
    assert _library.in_force(str(lib)) not in ("", name("one"))
    _library.install(str(lib), files("one"))
    assert _library.in_force(str(lib)) == name("one") and os.readlink(lib / "current") == f"{name('one')}-2"
    assert _library.prune(str(lib), str(lib.parent)) == []
    program.communicate("")
    assert _library.prune(str(lib), str(lib.parent)) == [str(lib / name("one"))]


def test_pythons_own_files_do_not_count(lib: Path) -> None:
    _library.install(str(lib), files("one"))
    cache = lib / name("one") / "inferops_gpu" / "__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_bytes(b"")
    assert _library.in_force(str(lib)) == name("one")


@pytest.mark.parametrize("there", ["nothing", "a file", "a dangling link", "a folder"])
def test_where_there_is_none(lib: Path, there: str) -> None:
    if there != "nothing":
        lib.mkdir()
        {"a file": lambda path: path.write_text(""), "a dangling link": lambda path: path.symlink_to("x"), "a folder": Path.mkdir}[there](lib / "current")
    assert _library.in_force(str(lib)) == ""


@pytest.mark.parametrize("caller", ["", "unit", "record", "enabled download", "finished download"])
def test_programs_of_versions_before_the_library(lib: Path, caller: str) -> None:
    """They stay for as long as a unit calls them, or one does that a service may go back to."""
    text = f"# Managed by inferops.gpu\nExecStart=/usr/bin/python3 {lib}/span.py head\n"
    (lib.parent / "served").mkdir()
    (lib.parent / "units" / "multi-user.target.wants").mkdir()
    place = {
        "unit": "units/vllm-a.service", "record": "served/a.json", "enabled download": "units/multi-user.target.wants/inferops-weights-a.service",
        "finished download": "units/inferops-weights-a.service",
    }
    if caller:
        (lib.parent / place[caller]).write_text(text.replace("span.py head", "fetch_weights x.json") if "download" in caller else text)
    (lib / "fetch_weights").mkdir(parents=True)
    for path in ("span.py", "fetch_weights/__main__.py"):
        (lib / path).write_text(FORMER)
    (lib / "mine.py").write_text("print()\n")
    _library.install(str(lib), files("one"))
    removed = _library.prune(str(lib), str(lib.parent))
    gone = [] if caller in ("unit", "record", "enabled download") else [str(lib / "span.py"), str(lib / "fetch_weights")]
    assert removed == gone and (lib / "mine.py").exists()
    assert [(lib / "span.py").exists(), (lib / "fetch_weights").exists()] == [not gone] * 2


def test_the_archive_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    """Of the same files, whatever their times and whatever else lies beside them."""
    copies = []
    for number, copy in enumerate((tmp_path / "a", tmp_path / "b")):
        (copy / "sub" / "__pycache__").mkdir(parents=True)
        for path in ("_main.py", "sub/__init__.py", "sub/x.py") if number else ("sub/x.py", "sub/__init__.py", "_main.py"):
            (copy / path).write_text(path)
            os.utime(copy / path, (number * 10**9, number * 10**9))
        (copy / "sub" / "__pycache__" / f"{number}.pyc").write_text("")
        copies.append(host_library.read(copy))
    assert copies[0] == copies[1] and list(copies[0]) == ["__main__.py", "inferops_gpu/sub/__init__.py", "inferops_gpu/sub/x.py"]
    assert host_library.archive(copies[0]) == host_library.archive(copies[1]) and len({host_library.digest(copy) for copy in copies}) == 1


def test_what_the_lookup_returns_is_what_the_module_installs(lib: Path) -> None:
    digest, archive = LookupModule().run(["digest", "archive"], {})
    _library.install(str(lib), module.unpack(archive))
    assert _library.in_force(str(lib)) == digest
    with pytest.raises(AnsibleLookupError, match="neither digest nor archive"):
        LookupModule().run(["size"], {})


@pytest.mark.parametrize("names", [[], ["/etc/x.py"], ["../x.py"], ["a/../../x.py"]])
def test_what_the_module_does_not_unpack(names: list[str]) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for path in names:
            file.writestr(path, "")
    with pytest.raises(ValueError, match="the archive (contains|is empty)"):
        module.unpack(base64.b64encode(made.getvalue()).decode())
    with pytest.raises(ValueError, match="not a zip archive"):
        module.unpack(base64.b64encode(b"x").decode())


def programs() -> list[str]:
    """All programs of the library: modules that have a main function."""
    found = []
    for path in host_library.SOURCE.rglob("*.py"):
        parts = path.relative_to(host_library.SOURCE).with_suffix("").parts
        functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        if "main" in functions and not parts[-1].startswith("_main"):
            found.append(".".join(part for part in parts if part != "main"))
    return sorted(found)


@pytest.mark.parametrize("program", programs())
def test_each_program_starts_from_its_folder_alone(library: Path, program: str) -> None:
    """Nothing but the standard library is imported before it looks at its arguments, by whatever Python runs it."""
    code = "import importlib, sys; sys.path.insert(0, sys.argv[1]); module = importlib.import_module('inferops_gpu.' + sys.argv[2]); print(module.__file__)"
    suffix = ".main" if program in ("supervisor", "fetch") else ""
    done = subprocess.run([sys.executable, "-ISBc", code, str(library), program + suffix], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr


def test_the_programs_that_are_called() -> None:
    wanted = {"supervisor", "supervisor.ray_nodes", "fetch", "fetch.local", "release.build", "release.wheelhouse", "release.verify_vllm",
              "release.verify_transformers", "cuda.link", "cuda.smoke_test", "cuda.clear_caches", "own_folders"}
    assert wanted <= set(programs())
