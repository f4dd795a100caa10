# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a supervisor reads about its GPUs before a start."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import gpus

DATA = Path(__file__).parents[1] / "gpu_health" / "data"
SICK = (DATA / "a800-reset.xml").read_text()


def command(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def look(names: list[str] | None, accepted: tuple[str, ...] = ()) -> tuple[list[str], str]:
    """Names of what forbids a start, and why it is unknown."""
    made = gpus.Look(names)
    while not made.is_done():
        time.sleep(0.02)
    found, failed = made.result(accepted)
    return [finding["name"] for finding in found], failed


NAMED = {
    "indexes": ("named", {"CUDA_VISIBLE_DEVICES": "0,1"}, ["0", "1"]), "all": ("all", {}, None), "a service without GPUs": ("named", {}, []),
    "a slice": ("all", {"CUDA_VISIBLE_DEVICES": "MIG-1"}, ["MIG-1"]), "none": ("all", {"CUDA_VISIBLE_DEVICES": ""}, []),
}


@pytest.mark.parametrize("what", NAMED)
def test_named(what: str) -> None:
    which, environment, expected = NAMED[what]
    assert gpus.named(which, environment) == expected


LOOKS = {
    "sick": (f"cat {DATA}/a800-reset.xml", ["0"], ["gpu-recovery"], ""),
    "sick, all of the host": (f"cat {DATA}/a800-reset.xml", None, ["gpu-recovery"], ""),
    "another GPU is sick": (f"sed s/00000000:06/00000000:07/ {DATA}/rtx-4000-ada.xml", ["0"], [], ""),
    "missing": (f"cat {DATA}/rtx-4000-ada.xml", ["0", "1"], ["gpu-recovery"], ""),
    "warnings alone": (f"cat {DATA}/a100-mig.xml", ["0"], [], ""),
    "driver and library differ": ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", ["0"], ["gpu-driver"], ""),
    "no GPU at all": ("echo 'No devices were found'; exit 6", ["0"], [], ""),
    "not permitted": ("echo 'Failed to initialize NVML: Insufficient Permissions'; exit 4", ["0"], [], "nvidia-smi failed with status 4"),
    "nonsense": ("echo hello", ["0"], [], "nvidia-smi -q -x printed no XML"),
}


@pytest.mark.parametrize("what", LOOKS)
def test_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    script, names, expected, failed = LOOKS[what]
    command(tmp_path, monkeypatch, script)
    found, why = look(names)
    assert found == expected and (failed in why if failed else why == "")


def test_what_is_accepted_forbids_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path, monkeypatch, f"cat {DATA}/a800-reset.xml")
    assert look(["0"], ("gpu-recovery",)) == ([], "")


def test_a_unit_without_gpus_calls_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path, monkeypatch, f"touch {tmp_path}/called")
    made = gpus.Look([])
    assert made.is_done() and made.result() == ([], "") and not (tmp_path / "called").exists()


def test_a_host_without_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look(["0"]) == ([], "")


def test_a_query_that_hangs_prevents_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "QUERY_SECONDS", 0.3)
    command(tmp_path, monkeypatch, "sleep 60")
    began = time.monotonic()
    assert look(["0"]) == ([], "nvidia-smi did not end within 0 s")
    assert time.monotonic() - began < 5


def test_the_sentence() -> None:
    found, _failed = gpus.of_text(SICK, 0, ["0"])
    assert gpus.sentence(found).startswith(
        "GPU 0 (GPU-one) has to be reset: the driver's recovery action is Drain and Reset, 32 uncorrectable ECC errors, row remapping pending; fix: "
    )
