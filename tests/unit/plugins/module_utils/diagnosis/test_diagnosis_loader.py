# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which libcuda.so.1 a service loads, and whether it belongs to the kernel module."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis import loader
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.commands import Unread
from diagnosis_builders import context, names, only, put, unit

MODULE = "580.95.05"


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What ldconfig prints."""
    said = {"-p": ""}
    monkeypatch.setattr(loader, "output", lambda *command: said[command[1]])
    return said


def library(root: Path, folder: str, version: str) -> str:
    """A library with its link; returns the folder's real path."""
    real = put(root, f"{folder}/libcuda.so.{version}")
    link = real.with_name("libcuda.so.1")
    link.symlink_to(real.name)
    return str(link.parent)


def cached(path: str) -> str:
    return f"\tlibcuda.so.1 (libc6) => /usr/lib/i386-linux-gnu/libcuda.so.1\n\tlibcuda.so.1 (libc6,x86-64) => {path}/libcuda.so.1\n"


CASES = [
    # folder, version, in LD_LIBRARY_PATH, the finding, the command
    ("usr/lib/x86_64-linux-gnu", MODULE, False, [], ""),
    ("usr/lib/x86_64-linux-gnu", "580.105.08", False, ["libcuda-mismatch"], "systemctl reboot"),
    ("usr/local/cuda/compat", "575.57.08", False, ["libcuda-mismatch"], "ldconfig -p | grep libcuda"),
    ("usr/local/cuda/compat", "590.44.01", False, ["libcuda-compat"], "ldconfig -p | grep libcuda"),
    ("opt/own", "550.54.14", True, ["libcuda-mismatch"], "systemctl show --property=Environment vllm-q.service"),
    ("opt/cuda/lib64/stubs", MODULE, True, ["libcuda-stub"], "systemctl show --property=Environment vllm-q.service"),
]


@pytest.mark.parametrize(("folder", "version", "named", "expected", "command"), CASES)
def test_libraries(tmp_path: Path, cache: dict[str, str], folder: str, version: str, named: bool, expected: list[str], command: str) -> None:
    put(tmp_path, "/sys/module/nvidia/version", MODULE + "\n")
    path = library(tmp_path, folder, version)
    # The real path in the cache; the one in LD_LIBRARY_PATH is under the root.
    cache["-p"] = "" if named else cached(f"/{folder}")
    environment = {"LD_LIBRARY_PATH": f":/nowhere:/{folder}"} if named else {}
    found = list(loader.check(context(tmp_path, unit(environment=environment))))
    assert names(found) == expected
    if expected:
        assert found[0].command == command and found[0].service == "q"
        assert path.endswith(folder) and (version in found[0].detail or expected == ["libcuda-stub"])


def test_the_first_library_of_the_path_wins(tmp_path: Path, cache: dict[str, str]) -> None:
    library(tmp_path, "opt/good", MODULE)
    library(tmp_path, "opt/bad", "550.54.14")
    usual = {"LD_LIBRARY_PATH": "/opt/good:/opt/bad"}
    assert names(loader.check(context(tmp_path, unit(environment=usual), driver=MODULE))) == []
    usual["LD_LIBRARY_PATH"] = "/opt/bad:/opt/good"
    found = only(loader.check(context(tmp_path, unit(environment=usual), driver=MODULE)))
    assert "LD_LIBRARY_PATH: " in found.cause and "550.54.14" in found.cause and "error 803" in found.cause


def test_without_a_library(tmp_path: Path, cache: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_DEFAULT", ("/lib",))
    assert names(loader.check(context(tmp_path, unit(), driver=MODULE))) == []
    put(tmp_path, "/sys/module/nvidia/version", MODULE)
    assert names(loader.check(context(tmp_path, unit()))) == ["libcuda-missing"]


def test_without_a_driver_nothing_is_checked(tmp_path: Path, cache: dict[str, str]) -> None:
    library(tmp_path, "opt/bad", "550.54.14")
    assert names(loader.check(context(tmp_path, unit(environment={"LD_LIBRARY_PATH": "/opt/bad"})))) == []


def test_without_ldconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_command: str) -> str:
        raise Unread("ldconfig is not installed")

    monkeypatch.setattr(loader, "output", missing)
    assert names(loader.check(context(tmp_path, driver=MODULE))) == ["?the loader's cache"]
