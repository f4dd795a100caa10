# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of sources, and what becomes of one that fails: programs in a directory of the test stand in for the tools."""

from __future__ import annotations

import os

from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils.amd_gpus import devices, kfd, read

DATA = Path(__file__).parent / "data"
Tool = Callable[[str, str], None]


@pytest.fixture(name="tool")
def _tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Writes a program; there are no others, no ROCm and no driver."""
    monkeypatch.setattr(read, "ROCM", str(tmp_path / "rocm"))
    monkeypatch.setattr(read, "_PCI", str(tmp_path / "pci"))
    monkeypatch.setattr(read, "_MODULE", str(tmp_path / "module"))
    monkeypatch.setattr(kfd.read, "__defaults__", (str(tmp_path / "nodes"), str(tmp_path / "version")))
    monkeypatch.setattr(devices.groups, "__defaults__", ((str(tmp_path / "dev" / "*"),),))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()

    def write(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    return write


def says(name: str) -> str:
    """A script that prints a recorded output for its command."""
    return f'case "$1" in static|list) cat {DATA}/{name}.$1.json;; *) exit 1;; esac'


def test_a_host_without_amd_has_nothing(tool: Tool) -> None:
    found = read.read()
    assert (found["gpus"], found["error"], found["warnings"], found["source"]) == ([], "", [], "")


def test_amd_smi_comes_first(tool: Tool) -> None:
    tool("amd-smi", says("mi300x-8"))
    tool("rocm-smi", f"cat {DATA}/rx7900xt.rocm-smi.json")
    found = read.read()
    assert (found["source"], len(found["gpus"]), found["gpus"][7]["node"], found["warnings"]) == ("amd-smi", 8, 9, [])


def test_an_old_amd_smi_does_not_know_partitions(tool: Tool) -> None:
    tool("amd-smi", f'for word; do [ "$word" = --partition ] && {{ echo "amd-smi: error: unrecognized arguments: --partition" >&2; exit 2; }}; done\n{says("mi210")}')
    assert read.read()["gpus"][0]["gfx"] == "gfx90a"


@pytest.mark.parametrize("script", ["exit 139", "echo not JSON", "kill -SEGV $$", "echo '[{]'"])
def test_rocm_smi_stands_in_for_a_broken_amd_smi(tool: Tool, script: str) -> None:
    tool("amd-smi", script)
    tool("rocm-smi", f"cat {DATA}/rx7900xt.rocm-smi.json")
    found = read.read()
    assert (found["source"], found["error"], len(found["warnings"])) == ("rocm-smi", "", 1)
    assert found["warnings"][0].startswith("amd-smi ")


def test_the_kernel_stands_in_for_both(tool: Tool, tmp_path: Path) -> None:
    tool("amd-smi", "exit 1")
    (tmp_path / "nodes" / "1").mkdir(parents=True)
    (tmp_path / "nodes" / "1" / "properties").write_text("gfx_target_version 90402\n", encoding="utf-8")
    found = read.read()
    assert (found["source"], found["gpus"][0]["gfx"], len(found["warnings"])) == ("kfd", "gfx942", 1)


def test_a_failure_of_all_is_an_error_with_a_fix(tool: Tool) -> None:
    tool("amd-smi", "echo cannot open shared object file >&2; exit 1")
    found = read.read()
    assert found["error"] == "amd-smi failed with status 1: cannot open shared object file"
    assert "dmesg" in found["fix"] and found["warnings"] == []


@pytest.mark.parametrize(
    "script",
    [
        "echo 'ERROR:root:Unable to detect any GPU devices, check amdgpu version and module status (sudo modprobe amdgpu)' >&2; exit 255",
        "echo 'WARNING: No JSON data to report'",
    ],
)
def test_tools_without_a_gpu_are_no_error(tool: Tool, script: str) -> None:
    tool("amd-smi", script)
    assert (read.read()["gpus"], read.read()["error"]) == ([], "")


def test_an_accelerator_without_its_module_is_an_error(tool: Tool, tmp_path: Path) -> None:
    folder = tmp_path / "pci" / "0000:83:00.0"
    folder.mkdir(parents=True)
    (folder / "vendor").write_text("0x1002\n", encoding="utf-8")
    (folder / "class").write_text("0x120000\n", encoding="utf-8")
    found = read.read()
    assert "1 AMD accelerators" in found["error"] and "modprobe amdgpu" in found["fix"]
    (tmp_path / "module").mkdir()
    assert read.read()["error"] == ""


def test_a_tool_that_hangs_is_an_error(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "SECONDS", 0.2)
    tool("amd-smi", "exec sleep 60")
    found = read.read()
    assert "amd-smi gave no answer" in found["error"] and "reboot" in found["fix"]


@pytest.mark.parametrize(("text", "version"), [("7.2.3-123\n", "7.2.3"), ("10.1\n", "10.1"), ("", ""), ("x", "")])
def test_the_rocm_of_the_host(tmp_path: Path, text: str, version: str) -> None:
    (tmp_path / ".info").mkdir()
    (tmp_path / ".info" / "version").write_text(text, encoding="utf-8")
    assert read.rocm_version(str(tmp_path)) == version


def test_device_groups(tmp_path: Path) -> None:
    """A device that all may open needs no group; one that root alone may open is named."""
    for name, mode in (("kfd", 0o666), ("renderD128", 0o600)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    assert devices.groups([f"{tmp_path}/kfd"]) == ([], [])
    assert devices.groups([f"{tmp_path}/*"]) == ([], [f"{tmp_path}/renderD128"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_group_of_a_device(tmp_path: Path) -> None:
    (tmp_path / "kfd").touch()
    os.chown(tmp_path / "kfd", 0, 44)
    (tmp_path / "kfd").chmod(0o660)
    assert devices.groups([f"{tmp_path}/kfd"]) == (["video"], [])
