# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nvidia-smi prints, read into GPUs or into a fault of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _nvidia

H100 = "0, GPU-5f8b4a2e-0000-0000-0000-000000000001, NVIDIA H100 80GB HBM3, 81559, 580.95.05, 9.0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n", []),
        (H100 + "\n", [(0, "NVIDIA H100 80GB HBM3", 81559 * 1024**2, "9.0")]),
        (H100 + "\n" + H100.replace("0, GPU", "1, GPU", 1), [(index, "NVIDIA H100 80GB HBM3", 81559 * 1024**2, "9.0") for index in (0, 1)]),
        ("0, [N/A], NVIDIA X, [N/A], 580.1, [Not Supported]", [(0, "NVIDIA X", None, None)]),
    ],
    ids=["nothing", "blank", "one", "two", "unknown values"],
)
def test_parse(text: str, expected: list[tuple[object, ...]]) -> None:
    found = [(gpu["index"], gpu["name"], gpu["memory_bytes"], gpu["compute_capability"]) for gpu in _nvidia.parse_gpus(text)]
    assert found == expected


@pytest.mark.parametrize("text", ["Failed to initialize NVML", "0, a, b", "x, GPU, name, 1, 2, 3"])
def test_another_shape_is_refused_with_the_line(text: str) -> None:
    with pytest.raises(ValueError, match="not a GPU"):
        _nvidia.parse_gpus(text)


@pytest.mark.parametrize(
    ("script", "gpus", "fault"),
    [
        (f"echo '{H100}'", 1, ""),
        ("echo 'No devices were found'; exit 6", 0, ""),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", 0, "nvidia-smi failed with status 18: Failed to initialize NVML"),
    ],
    ids=["working", "no device", "broken driver"],
)
def test_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, gpus: int, fault: str) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found, said = _nvidia.read_gpus()
    assert len(found) == gpus
    assert said.startswith(fault) and bool(said) == bool(fault)


def test_no_nvidia_smi_is_no_gpu_and_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _nvidia.read_gpus() == ([], "")
