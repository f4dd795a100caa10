# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""GPUs that must not be used: whose error they are, and what the supervisor is told about them."""

from __future__ import annotations

from typing import Any

import pytest
from plan_builders import gpus, host_facts, service

FINDING = {
    "name": "gpu-ecc", "gpu": 3, "uuid": "GPU-3", "level": "error", "cause": "has to be reset: row remapping pending", "action": "reset_gpu", "fix": "reset it",
}
SLICE = "MIG-377e0049-554c-540b-93c6-d0976f8426cb"
SPLIT = [{"index": 3, "split": True, "slices": [{"uuid": SLICE, "profile": "1g.10gb", "memory_bytes": 10 * 2**30}]}]


def facts(*findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return host_facts(gpu_health=list(findings), **more)


def test_it_is_the_error_of_the_service_that_uses_it(plan: Any) -> None:
    found = plan(service(gpus=[0, 1]), service(name="b", port=8002, gpus=[2, 3]), facts=facts(FINDING)).errors
    assert [(error.service, error.key, error.check) for error in found if error.check == "gpu-ecc"] == [("b", "gpus", "gpu-ecc")]
    assert "GPU 3 has to be reset" in next(error.why for error in found if error.check == "gpu-ecc")


def test_a_slice_belongs_to_its_gpu(plan: Any) -> None:
    found = plan(service(gpus=[SLICE]), facts=facts(FINDING, gpus=SPLIT)).errors
    assert "gpu-ecc" in [error.check for error in found]


OTHER_FACTS: dict[str, dict[str, Any]] = {
    "not a finding": {"gpu_health": ["x", {"name": ""}, 7]},
    "older facts": {},
    "nvidia-smi fails, which another check reports": {"gpu_error": "x", "gpu_health": [FINDING]},
}


@pytest.mark.parametrize("what", OTHER_FACTS)
def test_other_facts(plan: Any, what: str) -> None:
    assert "gpu-ecc" not in [error.check for error in plan(service(), facts=host_facts(**OTHER_FACTS[what])).errors]


def test_a_gpu_with_an_error_of_nvidia_smi_is_reported_once(plan: Any) -> None:
    lost = [{**gpu, "error": "GPU is lost" if gpu["index"] == 3 else ""} for gpu in gpus(4)]
    recovery = {**FINDING, "name": "gpu-recovery"}
    assert [error.key for error in plan(service(), facts=facts(recovery, gpus=lost)).errors] == ["gpus"]


def test_a_run_that_installs_fabric_manager_goes_on(plan: Any) -> None:
    finding = {**FINDING, "name": "gpu-fabric", "cause": "is not registered with the NVSwitches"}
    made = plan(service(), facts=facts(finding), cuda_driver_install=True, cuda_fabric_manager=True)
    assert made.errors == [] and any("this run installs and starts Fabric Manager" in warning for warning in made.warnings)


def test_a_run_that_installs_the_driver_holds_it(plan: Any) -> None:
    hold = {**FINDING, "name": "driver-hold", "gpu": None, "level": "warning", "cause": "Unattended upgrades may update the driver"}
    assert any("Unattended" in warning for warning in plan(service(), facts=facts(hold)).warnings)
    assert not any("Unattended" in warning for warning in plan(service(), facts=facts(hold), cuda_driver_install=True).warnings)


UNITS = {
    "named GPUs": ({}, {}, []),
    "all GPUs": ({"gpus": ...}, {}, ["--gpus=all"]),
    "accepted": ({}, {"plan_accept": {"gpu-ecc": "tested", "gpu-clocks": "tested"}}, ["--accept-gpu=gpu-ecc"]),
}


@pytest.mark.parametrize("what", UNITS)
def test_the_supervisor_is_told(plan: Any, what: str) -> None:
    """An accepted GPU is used: the supervisor starts the program in spite of the same finding."""
    keys, variables, expected = UNITS[what]
    made = plan(service(**keys), facts=host_facts(gpus=gpus(4)), **variables)
    assert made.errors == []
    (unit,) = made.hosts["gpu1"]["services"]
    assert [word for word in unit["units"][0]["supervisor"] if "gpu" in word.partition("=")[0]] == expected
