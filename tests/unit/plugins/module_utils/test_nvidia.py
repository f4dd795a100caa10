# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nvidia-smi prints, read into GPUs or into an error of its own."""

from __future__ import annotations

import os

from pathlib import Path

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _nvidia

DATA = Path(__file__).parent / "nvidia_smi"

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
    ("script", "gpus", "error"),
    [
        (f"echo '{H100}, Disabled, P0, 30, 0, None'", 1, ""),
        ("echo 'No devices were found'; exit 6", 0, ""),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", 0, "nvidia-smi failed with status 18: Failed to initialize NVML"),
    ],
    ids=["working", "no device", "broken driver"],
)
def test_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, gpus: int, error: str) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found, said = _nvidia.read_gpus()
    assert len(found) == gpus
    assert said.startswith(error) and bool(said) == bool(error)


def test_no_nvidia_smi_is_no_gpu_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _nvidia.read_gpus() == ([], "")


# Stands where nvidia-smi stands and answers with a machine's files.
NVIDIA_SMI = """#!/bin/sh
case "$1" in
  *,gpu_recovery_action) echo 'Field "gpu_recovery_action" is not a valid field to query.'; exit 2 ;;
  *,mig.mode.current,*) echo 'Field "mig.mode.current" is not a valid field to query.'; exit 2 ;;
  --query-gpu=*) exec cat {data}/{csv} ;;
  -q) exec cat {data}/{xml} ;;
  topo) exec cat {data}/{topo} ;;
esac
exit 2
"""


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    command = folder / "nvidia-smi"
    command.write_text(text)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("name", "count", "product", "memory", "capability"),
    [
        ("h100-8", 8, "NVIDIA H100 80GB HBM3", 81559, "9.0"),
        ("a100-4", 4, "NVIDIA A100-SXM4-80GB", 81920, "8.0"),
        ("h20-8", 8, "NVIDIA H20", 97871, "9.0"),
    ],
)
def test_machines(name: str, count: int, product: str, memory: int, capability: str) -> None:
    found = _nvidia.parse_gpus((DATA / f"{name}.csv").read_text(encoding="utf-8"))
    assert [gpu["index"] for gpu in found] == list(range(count))
    assert {(gpu["name"], gpu["memory_bytes"], gpu["compute_capability"]) for gpu in found} == {(product, memory * 2**20, capability)}


def test_all_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, NVIDIA_SMI.format(data=DATA, csv="h100-8.csv", xml="h100-8.xml", topo="h100-8.topo"))
    found = _nvidia.read_all()
    assert (found["error"], found["fix"], found["driver_version"], found["cuda_version"]) == ("", "", "550.127.05", "12.4")
    first, last = found["gpus"][0], found["gpus"][7]
    assert first["bus_id"] == "00000000:19:00.0" and first["architecture"] == "Hopper"
    assert first["mig"] == {"mode": "Disabled", "instances": []}
    assert first["processes"] == [{"pid": 41394, "type": "C", "name": "VLLM::Worker_TP0", "memory_bytes": 73622 * 2**20}]
    assert first["nvlinks"] == dict.fromkeys(range(1, 8), 18)
    assert (first["ecc"], last["ecc"]) == ({"mode": "Enabled", "uncorrected": 0}, {"mode": "Enabled", "uncorrected": 3})
    assert last["processes"] == [] and last["memory_used_bytes"] == 4 * 2**20


def test_instances() -> None:
    """A GPU with MIG on: what its instances are, and no count of errors where the driver gives none."""
    found = _nvidia.parse_details((DATA / "a100-mig.xml").read_text(encoding="utf-8"))
    gpu = found["gpus"]["GPU-27b94a00-ed54-5c24-b1fd-1054085de32a"]
    instance = {"uuid": None, "compute_instance": 0, "memory_bytes": 19968 * 2**20}
    assert gpu["mig"] == {"mode": "Enabled", "instances": [{"index": 0, "gpu_instance": 1, **instance}, {"index": 1, "gpu_instance": 2, **instance}]}
    assert gpu["ecc"] == {"mode": "Enabled", "uncorrected": None}


def test_gpu_without_mig() -> None:
    gpu = _nvidia.parse_details((DATA / "rtx-pro-6000.xml").read_text(encoding="utf-8"))["gpus"]["GPU-12345678-aaaa-bbbb-cccc-0123456789ab"]
    assert (gpu["mig"], gpu["ecc"]["mode"], gpu["architecture"]) == ({"mode": None, "instances": []}, "Disabled", "Blackwell")


@pytest.mark.parametrize("text", ["", "Failed to initialize NVML", "<nvidia_smi_log><gpu>", "<html></html>"])
def test_what_is_no_log_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="nvidia-smi -q -x printed"):
        _nvidia.parse_details(text)


@pytest.mark.parametrize(
    ("name", "gpu", "links", "other"),
    [
        ("h100-8", 5, dict.fromkeys([0, 1, 2, 3, 4, 6, 7], 18), {}),
        ("a100-8", 0, dict.fromkeys(range(1, 8), 12), {}),
        ("h20-8", 2, dict.fromkeys([0, 1, 3, 4, 5, 6, 7], 18), {}),
        ("4090-5", 3, {}, {0: "SYS", 1: "NODE", 2: "NODE", 4: "PHB"}),
    ],
)
def test_topology(name: str, gpu: int, links: dict[int, int], other: dict[int, str]) -> None:
    reach = _nvidia.parse_topology((DATA / f"{name}.topo").read_text(encoding="utf-8"))[gpu]
    assert _nvidia.nvlinks(reach) == links
    assert {index: how for index, how in reach.items() if index not in links} == other


def test_topology_in_colours_and_none_at_all() -> None:
    assert _nvidia.parse_topology("\t\x1b[4mGPU0\tGPU1\tCPU Affinity\x1b[0m\nGPU0\t X \tNV4\t0-7\nGPU1\tNV4\t X \t0-7\n") == {0: {1: "NV4"}, 1: {0: "NV4"}}
    assert _nvidia.parse_topology("ERROR: something") == {}


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.126", "reboot the host, or stop all programs that use the GPUs"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "the kernel module is not loaded"),
        ("Unable to determine the device handle for GPU0000:19:00.0: Unknown Error", "Xid 79"),
        ("Unable to determine the device handle for GPU 0000:C1:00.0: GPU is lost.  Reboot the system to recover this GPU", "reboot the host"),
        ("Killed by a signal", "run nvidia-smi on the host"),
    ],
    ids=["mismatch", "no module", "no handle", "lost", "else"],
)
def test_a_broken_driver_is_a_error_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, fix: str) -> None:
    (tmp_path / "said").write_text(said + "\n")
    stand_in(tmp_path, monkeypatch, f"#!/bin/sh\ncat {tmp_path}/said\nexit 18\n")
    found = _nvidia.read_all()
    assert found["gpus"] == [] and found["driver_version"] is None
    assert said.split("\n", maxsplit=1)[0] in found["error"] and fix in found["fix"]


def test_a_host_without_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _nvidia.read_all() == {"gpus": [], "driver_version": None, "cuda_version": None, "error": "", "fix": ""}


# Answers whatever the driver knows of the question.
ANSWERS = """#!/bin/sh
case "$1" in
  *,gpu_recovery_action) {newest} ;;
  *,mig.mode.current,*) exec cat {data}/{csv} ;;
  -q) exec cat {data}/a100-mig.xml ;;
  -L) exec cat {data}/a100-mig.list ;;
esac
exit 2
"""
REFUSED = "echo 'Field \"gpu_recovery_action\" is not a valid field to query.'; exit 2"


@pytest.mark.parametrize(
    ("name", "old", "errors"),
    [
        ("h100-reset", True, ["pstate [GPU requires reset]", ""]),
        ("pro-6000-reset", False, ["pstate [GPU requires reset]", ""]),
        ("4090-lost", False, ["pstate [GPU is lost]"]),
        ("rtx-4000-err", False, ["", "gpu_recovery_action Reset"]),
        ("gb10", False, [""]),
    ],
)
def test_gpus_that_do_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, old: bool, errors: list[str]) -> None:
    """A GPU that is lost or has to be reset still says its name and memory; it is told apart by its state."""
    newest = REFUSED if old else f"exec cat {DATA}/{name}.csv"
    stand_in(tmp_path, monkeypatch, ANSWERS.format(newest=newest, data=DATA, csv=f"{name}.csv"))
    found, error = _nvidia.read_gpus()
    assert (error, [gpu["error"] for gpu in found]) == ("", errors)
    assert all(gpu["name"] and gpu["compute_capability"] for gpu in found)


def test_shared_memory_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, ANSWERS.format(newest=f"exec cat {DATA}/gb10.csv", data=DATA, csv="gb10.csv"))
    (gpu,), _error = _nvidia.read_gpus()
    assert (gpu["name"], gpu["memory_bytes"], gpu["split"]) == ("NVIDIA GB10", None, False)


def test_slices_have_a_name_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, ANSWERS.format(newest=REFUSED, data=DATA, csv="a100-mig.csv"))
    (gpu,), error = _nvidia.read_gpus()
    part = {"profile": "3g.20gb", "memory_bytes": 19968 * 2**20}
    assert (error, gpu["split"], gpu["error"]) == ("", True, "")
    assert gpu["slices"] == [{"uuid": "MIG-c7384736-a75d-5afc-978f-d2f1294409fd", **part}, {"uuid": "MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d", **part}]


@pytest.mark.parametrize(("action", "error"), [
    ("None", ""), ("[N/A]", ""), ("Drain P2P", ""), ("Reboot", "gpu_recovery_action Reboot"), ("Drain and Reset", "gpu_recovery_action Drain and Reset"),
])
def test_what_the_driver_wants_done(action: str, error: str) -> None:
    fields = (*_nvidia.QUERY, *_nvidia.STATE, _nvidia.RECOVERY)
    assert _nvidia.parse_gpus(f"{H100}, Disabled, P0, 30, 0, {action}", fields)[0]["error"] == error


def test_a_value_that_is_missing_is_no_error() -> None:
    fields = (*_nvidia.QUERY, *_nvidia.STATE)
    (gpu,) = _nvidia.parse_gpus(f"{H100}, [N/A], [Not Supported], [Insufficient Permissions], [N/A]", fields)
    assert (gpu["error"], gpu["split"]) == ("", False)
