# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the readings mean: which GPU must not be used, and which findings are warnings. A GPU that works is never refused because of a guess."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.gpu_health import nvidia_report, verdict, xid_catalogue

DATA = Path(__file__).parent / "data"
NOW = 1_800_000_000.0


def healthy(**keys: Any) -> dict[str, Any]:
    """A H100 with nothing wrong and a driver that reports recovery actions, with these keys over it; C(ecc), C(pcie) and C(fabric) are merged."""
    made: dict[str, Any] = {
        "index": 3, "uuid": "GPU-3", "bus": "0000:04:00", "name": "NVIDIA H100 80GB HBM3", "broken": "", "recovery": "None", "reset_required": None,
        "state": "P0", "persistence": "Enabled", "mig": False, "slices": [], "clocks": [], "processes": [],
        "ecc": {"volatile": 0, "aggregate": 0, "sram_threshold": False, "pending": False, "failure": False, "remapped": 0, "retirement": None},
        "pcie": {"width": 16, "max_width": 16, "generation": 5, "max_generation": 5}, "fabric": {"state": "", "status": "", "health": {}},
    }
    for key, value in keys.items():
        made[key] = {**made[key], **value} if isinstance(value, dict) else value
    return made


def xid(code: int, seconds_ago: float = 60.0, **keys: Any) -> dict[str, Any]:
    return {"kind": "xid", "code": code, "bus": "0000:04:00", "count": 1, "time": NOW - seconds_ago, "text": "", "fatal": False, **keys}


def found(gpu: dict[str, Any], *events: dict[str, Any], **more: Any) -> list[tuple[str, str, str]]:
    """Name, level and action of each finding."""
    return [(one["name"], one["level"], one["action"]) for one in verdict.of_gpus([gpu], events, now=NOW, **more)]


OLD = {"recovery": "", "reset_required": None}
STATES: dict[str, tuple[dict[str, Any], int, list[tuple[str, str, str]]]] = {
    "healthy": ({}, 0, []),
    "lost": ({"broken": "GPU is lost"}, 0, [("gpu-recovery", "error", "reboot")]),
    "requires a reset": ({"broken": "GPU requires reset"}, 0, [("gpu-recovery", "error", "reset_gpu")]),
    "reset": ({"recovery": "Reset"}, 0, [("gpu-recovery", "error", "reset_gpu")]),
    "drain and reset": ({"recovery": "Drain and Reset", "ecc": {"pending": True, "volatile": 2}}, 0, [("gpu-recovery", "error", "reset_gpu")]),
    "reboot": ({"recovery": "Reboot"}, 0, [("gpu-recovery", "error", "reboot")]),
    # These pass by themselves, or are not about this GPU; and an action of a later driver.
    "drain P2P": ({"recovery": "Drain P2P"}, 0, [("gpu-recovery", "warning", "investigate")]),
    "another action": ({"recovery": "Recover IMEX Domain"}, 0, [("gpu-recovery", "warning", "investigate")]),
    "reset required, older driver": ({"recovery": "", "reset_required": True}, 0, [("gpu-recovery", "error", "reset_gpu")]),
    # NVIDIA: with a pending remapping new workloads can be launched.
    "remapping pending": ({"ecc": {"pending": True}}, 0, [("gpu-ecc", "warning", "reset_gpu")]),
    "errors and remapping pending": ({"ecc": {"pending": True, "volatile": 1}}, 0, [("gpu-ecc", "warning", "reset_gpu")]),
    "the same without page offlining, older driver": (
        {**OLD, "name": "NVIDIA A10", "ecc": {"pending": True, "volatile": 1}}, 0, [("gpu-ecc", "error", "reset_gpu")],
    ),
    "the same with page offlining, older driver": ({**OLD, "ecc": {"pending": True, "volatile": 1}}, 0, [("gpu-ecc", "warning", "reset_gpu")]),
    "page retirement": ({"ecc": {"retirement": True}}, 0, [("gpu-ecc", "warning", "reset_gpu")]),
    "remapping failure": ({"ecc": {"failure": True}}, 0, [("gpu-ecc", "warning", "replace")]),
    "SRAM threshold": ({"ecc": {"sram_threshold": True}}, 0, [("gpu-ecc", "warning", "replace")]),
    "errors since the driver was loaded": ({"ecc": {"volatile": 2}}, 0, [("gpu-ecc", "warning", "investigate")]),
    "errors of earlier": ({"ecc": {"aggregate": 2, "remapped": 2}}, 0, []),
    "too hot": ({"clocks": ["hw_thermal_slowdown"]}, 0, [("gpu-clocks", "warning", "investigate")]),
    "narrow": ({"pcie": {"width": 8}}, 0, [("gpu-pcie", "warning", "investigate")]),
    "slow in P0": ({"pcie": {"generation": 3}}, 0, [("gpu-pcie", "warning", "investigate")]),
    "slow and idle": ({"pcie": {"generation": 1}, "state": "P8"}, 0, []),
    "PCIe unknown": ({"pcie": {"width": None, "generation": None}}, 0, []),
    "not registered": ({"fabric": {"state": "In Progress"}}, 4, [("gpu-fabric", "error", "investigate")]),
    "not registered, no switch in sight": ({"fabric": {"state": "In Progress"}}, 0, [("gpu-fabric", "warning", "investigate")]),
    "not registered, with MIG": ({"fabric": {"state": "In Progress"}, "mig": True}, 4, []),
    "registered": ({"fabric": {"state": "Completed", "status": "Success", "health": {"bandwidth": "Full", "summary": "Healthy"}}}, 4, []),
    "registration failed": ({"fabric": {"state": "Completed", "status": "Unknown Error"}}, 4, [("gpu-fabric", "error", "investigate")]),
    "degraded": ({"fabric": {"state": "Completed", "status": "Success", "health": {"bandwidth": "Degraded"}}}, 4, [("gpu-fabric", "warning", "investigate")]),
    "no persistence": ({"persistence": "Disabled"}, 0, [("gpu-persistence", "warning", "investigate")]),
}


@pytest.mark.parametrize("what", STATES)
def test_states(what: str) -> None:
    keys, nvswitches, expected = STATES[what]
    assert found(healthy(**keys), nvswitches=nvswitches) == expected


RECORDED = {"rtx-4000-ada.xml": [], "a100-mig.xml": ["gpu-persistence"], "a800-reset.xml": ["gpu-recovery"]}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_outputs(name: str) -> None:
    assert [one["name"] for one in verdict.of_gpus(nvidia_report.parse((DATA / name).read_text()))] == RECORDED[name]


def test_what_is_said() -> None:
    """One sentence with the GPU, what it needs, why, and a fix that names it."""
    gpu = healthy(recovery="Reset", ecc={"volatile": 2, "pending": True})
    first, _second = verdict.of_gpus([gpu], [xid(95, count=3)], now=NOW)
    assert verdict.said(first, with_uuid=True) == (
        "GPU 3 (GPU-3) has to be reset: the driver's recovery action is Reset, 2 uncorrectable ECC errors, row remapping pending, "
        "XID 95 (memory error that was not contained) 3 times, last at 2027-01-15 07:59:00 UTC"
    )
    assert "nvidia-smi --gpu-reset -i 3" in first["fix"]


# XIDs of programs, of which a user of the API may cause some.
PROGRAMS = (13, 31, 43, 45, 94, 69, 32)


@pytest.mark.parametrize("code", PROGRAMS)
def test_an_xid_of_a_program_never_forbids_a_gpu(code: int) -> None:
    assert all(level == "warning" for _name, level, _action in found(healthy(**OLD), xid(code)))
    assert not xid_catalogue.forbids_use(xid_catalogue.find(code))
    assert found(healthy(), xid(code, seconds_ago=25 * 3600)) == [], "it is old news"


def test_an_xid_that_needs_a_reset() -> None:
    """The driver decides if it says anything; then a process that was started since then."""
    assert found(healthy(), xid(119)) == [("gpu-xid", "warning", "reset_gpu")]
    assert found(healthy(recovery="", reset_required=False), xid(119)) == [("gpu-xid", "warning", "reset_gpu")]
    assert found(healthy(**OLD), xid(119)) == [("gpu-xid", "error", "reset_gpu")]
    assert found(healthy(**OLD), xid(119), used_since={3: NOW - 30}) == [("gpu-xid", "warning", "reset_gpu")]
    assert found(healthy(**OLD), xid(119), used_since={3: NOW - 90}) == [("gpu-xid", "error", "reset_gpu")]
    assert found(healthy(**OLD), xid(48)) == [("gpu-xid", "warning", "reset_gpu")], "it depends on what else happens"
    assert found(healthy(recovery="Reset"), xid(119)) == [("gpu-recovery", "error", "reset_gpu"), ("gpu-xid", "warning", "reset_gpu")]


def test_other_xids() -> None:
    assert found(healthy(), xid(63)) == [], "informational"
    assert found(healthy(), xid(99999)) == [("gpu-xid", "warning", "investigate")]
    assert found(healthy(), xid(119, bus="0000:05:00")) == [], "of another GPU"
    assert len(found(healthy(), *(xid(code) for code in (62, 64, 95, 119, 120, 143)))) == 3


def test_links() -> None:
    gpus = [healthy(index=index) for index in range(4)]
    links = nvidia_report.parse_nvlinks((DATA / "v100.nvlink").read_text())
    (one,) = verdict.of_nvlinks(gpus, links)
    assert one["gpu"] == 3 and one["cause"] == "has 4 active NVLinks, other GPUs of this host have 6 (inactive: 3, 5)"
    # A card without a bridge, as others of its kind: all of its links are inactive (NVIDIA/NVSentinel pull request 1481).
    assert verdict.of_nvlinks(gpus, {index: dict.fromkeys(range(12), False) for index in range(4)}) == []
    assert verdict.of_nvlinks(gpus, {}) == []


def test_switches() -> None:
    fatal = {"kind": "sxid", "code": 20034, "bus": "0000:a9:00", "count": 1, "time": NOW, "text": "Link 30 LTSSM Fault Up", "fatal": True}
    assert [one["action"] for one in verdict.of_switches([fatal, {**fatal, "code": 12028, "fatal": False}])] == ["reboot"]
    states = {state: len(verdict.of_fabric_manager(4, state)) for state in ("active", "activating", "failed", "inactive", "")}
    assert states == {"active": 0, "activating": 0, "failed": 1, "inactive": 1, "": 0}
    assert verdict.of_fabric_manager(0, "failed") == []


DRIVERS = {
    "same": (("580.95.05", "580.95.05", [], []), []),
    "updated under way": (("580.95.05", "580.105.08", ["nvidia-driver-580"], []), [("gpu-driver", "reboot")]),
    "waits for a reboot": (("580.95.05", "", ["nvidia-driver-580"], []), [("gpu-driver", "reboot")]),
    "no hold": (("580.95.05", "580.95.05", [], ["libnvidia-compute-580"]), [("driver-hold", "none")]),
    "nothing known": (("", "", [], []), []),
}


@pytest.mark.parametrize("what", DRIVERS)
def test_driver(what: str) -> None:
    arguments, expected = DRIVERS[what]
    made = verdict.of_driver(*arguments)
    assert [(one["name"], one["action"]) for one in made] == expected and all(one["level"] == "warning" for one in made)


ERRORS = {
    "": "", "nvidia-smi failed with status 18: Failed to initialize NVML: Driver/library version mismatch": "error",
    "nvidia-smi failed with status 9: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.": "error",
    # These say nothing about CUDA.
    "nvidia-smi gave no answer: timed out": "warning", "nvidia-smi failed with status 4: Failed to initialize NVML: Insufficient Permissions": "warning",
}


@pytest.mark.parametrize("error", ERRORS)
def test_errors_of_nvidia_smi(error: str) -> None:
    assert [one["level"] for one in verdict.of_error(error)] == ([ERRORS[error]] if error else [])


GPUS = [healthy(index=0, uuid="GPU-aaaa", slices=["MIG-1"]), healthy(index=1, uuid="GPU-abbb")]
NAMED = {
    "indexes": (["0", "1"], [0, 1], 0), "all": (None, [0, 1], 0), "a UUID": (["GPU-abbb"], [1], 0), "its beginning": (["GPU-ab"], [1], 0),
    "a slice": (["MIG-1"], [0], 0), "a slice that is not listed": (["MIG-2"], [], 0), "missing": (["1", "2"], [1], 1), "none": ([], [], 0),
}


@pytest.mark.parametrize("what", NAMED)
def test_named(what: str) -> None:
    names, used, missing = NAMED[what]
    gpus, lost = verdict.of_named(GPUS, names)
    assert [gpu["index"] for gpu in gpus] == used and len(lost) == missing
    assert verdict.of_named([], ["0"]) == ([], []), "a driver without any GPU says nothing about one"


def test_processes_are_named_safely() -> None:
    (one,) = verdict.of_processes([{"gpu": 3, "pid": 7, "name": "\x1b[31mx" + "y" * 500, "unit": "other.service"}], [healthy()])
    assert one["cause"].isprintable() and len(one["cause"]) < 250 and "unit other.service" in one["cause"]


def test_every_finding_is_complete() -> None:
    gpu = healthy(recovery="Reset", clocks=["sw_thermal_slowdown"], pcie={"width": 4}, persistence="Disabled", fabric={"state": "Not Started"})
    made = [*verdict.of_gpus([gpu], [xid(119)], 4, NOW), *verdict.of_unread("denied"), *verdict.of_driver("1", "2", [], ["libnvidia-x"])]
    assert len(made) >= 8
    for one in made:
        assert one["name"] in verdict.NAMES and one["level"] in ("error", "warning") and one["action"] in xid_catalogue.ACTIONS
        assert one["cause"] and one["fix"] and verdict.said(one)[0].isupper()
