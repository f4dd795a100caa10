# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""GPUs, disks, downloads, certificates and unmanaged processes, from recorded output and from files made here."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _host
from ansible_collections.inferops.gpu.plugins.module_utils._status import certificates, disks, gpus, jobs, manager, unmanaged

MIB = 2**20
STATE = manager.State("loaded", "activating", "start", "success", "", "enabled", "2026-11-26T14:00:00+00:00", 1, 0, None, False, ())
# A lost GPU, one with MIG, and a line of another form.
SMI = """0, GPU-a, NVIDIA H100 80GB HBM3, 70100, 81559, 54, 93
1, GPU-b, NVIDIA A100-SXM4-80GB, [GPU is lost], 81920, [GPU is lost], [GPU is lost]
2, GPU-c, NVIDIA A100-SXM4-80GB, 5, 81920, 30, [N/A]
No devices here
"""


def test_gpus_with_memory_temperature_and_load() -> None:
    first, lost, split = gpus.parse(SMI)
    assert (first["memory_used_bytes"], first["memory_bytes"], first["temperature"], first["utilization"]) == (70100 * MIB, 81559 * MIB, 54, 93)
    assert (lost["memory_used_bytes"], lost["temperature"], lost["memory_bytes"]) == (None, None, 81920 * MIB)
    assert (split["utilization"], split["temperature"]) == (None, 30)
    assert gpus.parse("\x1b[31m, a\n,,,,,,\n") == []


def test_processes_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_host, "unit_of", lambda pid: f"unit-{pid}.service")
    found = gpus.parse_processes("GPU-a, 7, 1024\nGPU-x, 8, [N/A]\nbroken\n", {"GPU-a": 0})
    assert found == [
        {"gpu": 0, "pid": 7, "memory_bytes": 1024 * MIB, "unit": "unit-7.service"}, {"gpu": None, "pid": 8, "memory_bytes": None, "unit": "unit-8.service"},
    ]


def test_one_file_system_is_listed_once(tmp_path: Path) -> None:
    found, failed = disks.read({"weights": str(tmp_path / "no" / "such"), "cache": str(tmp_path)})
    assert failed == {} and len(found) == 1 and found[0]["holds"] == ["weights", "cache"] and 0 < found[0]["free_bytes"] <= found[0]["size_bytes"]


def test_a_file_system_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and the others are read."""
    monkeypatch.setattr(disks, "SECONDS", 0.3)
    real = disks._of
    monkeypatch.setattr(disks, "_of", lambda path: __import__("time").sleep(60) if path == "/hangs" else real(path))
    found, failed = disks.read({"weights": "/hangs", "cache": str(tmp_path)})
    assert list(failed) == ["weights"] and found[0]["holds"] == ["cache"]


PROGRESS = {"text": "4.00 GiB of 8.00 GiB\x1b", "bytes": 4 * 2**30, "total_bytes": 8 * 2**30, "rate": 2**20, "eta_seconds": 4096, "doing": "x"}


@pytest.mark.parametrize(
    ("progress", "fraction", "eta"),
    [
        (PROGRESS, 0.5, 4096), ({}, None, None), ({**PROGRESS, "total_bytes": 0}, None, 4096), ({**PROGRESS, "bytes": "4"}, None, 4096),
        ({**PROGRESS, "eta_seconds": None}, 0.5, None), ({**PROGRESS, "bytes": 9 * 2**30}, 1.0, 4096),
    ],
)
def test_downloads(progress: dict[str, Any], fraction: float | None, eta: int | None) -> None:
    found = jobs.download("inferops-weights-qwen3-0123.service", STATE, progress)
    assert (found["name"], found["state"], found["fraction"], found["eta_seconds"]) == ("qwen3-0123", "running", fraction, eta)
    assert "\x1b" not in found["text"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_certificates(tmp_path: Path) -> None:
    """The file, the copy that the service has read before it was renewed, and files that are none."""
    for name, days in (("new", "90"), ("old", "3")):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a", "-days", days,
             "-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem")], check=True, capture_output=True,
        )
    new, old = str(tmp_path / "new.pem"), str(tmp_path / "old.pem")
    same = certificates.read(new, new)
    assert same["expires"] == same["served_expires"] > "2026" and not same["renewed"] and same["error"] == ""
    left = datetime.datetime.fromisoformat(same["expires"]) - datetime.datetime.now(datetime.timezone.utc)
    assert 89 < left.total_seconds() / 86400 <= 90
    other = certificates.read(new, old)
    assert other["renewed"] and other["served_expires"] < other["expires"] == same["expires"]
    assert certificates.read(str(tmp_path / "none.pem"))["error"] == "the file does not exist, or cannot be read"
    assert certificates.read(str(tmp_path / "new.key"))["error"] == "openssl finds no certificate in the file"


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (b"/r/bin/python\0/r/bin/vllm\0serve\0/m\0--api-key\0sk-secret\0", "vllm serve"),
        (b"python3\0-m\0vllm.entrypoints.openai.api_server\0", "vllm serve"),
        (b"VLLM::EngineCore\0\0", "VLLM::EngineCore"),
        (b"python3\0lib\0supervisor\0single\0--\0/r/bin/vllm\0serve\0", ""),
        (b"vim\0vllm serve\0", ""), (b"/bin/vllm\0bench\0serve\0", ""), (b"", ""),
    ],
)
def test_processes_of_engines(tmp_path: Path, command: bytes, program: str) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(command)
    found = unmanaged.read([], root=str(tmp_path))
    assert [item["program"] for item in found] == ([program] if program else [])
    assert "sk-secret" not in str(found)


def test_a_process_on_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "comm").write_text("train\x1b.py\n", encoding="utf-8")
    found = unmanaged.read([], [{"pid": 7, "gpu": 1}, {"pid": 7, "gpu": 0}, {"pid": 8, "gpu": 0}], str(tmp_path))
    assert [(item["pid"], item["program"], item["gpus"]) for item in found] == [(7, "train .py", [0, 1])]
    # Root "/proc" would have its unit; one in a managed unit is left out.
    assert unmanaged.read([""], [{"pid": 7, "gpu": 1}], str(tmp_path)) == []
