# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host with AMD GPUs, planned from outputs of amd-smi to the units of its services."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from plan_builders import amd_facts, amd_gpus, gpus, host_facts, service

ROCM: dict[str, Any] = {
    "vllm_version": "0.31.0+rocm723", "vllm_extra_index_urls": ["https://wheels.vllm.ai/rocm/0.31.0/rocm723"], "vllm_python": "3.12",
}
Plan = Callable[..., Any]


def test_eight_mi300x(plan: Plan) -> None:
    """Two services: a release from the index for ROCm without a CUDA toolkit, HIP's variable, and the group of the device files."""
    second = service(name="second", model="qwen3-8b", port=8002, gpus=[4, 5], vllm_args={"max_model_len": 8192})
    made = plan(service(), second, facts=amd_facts(), **ROCM)
    assert made.errors == []
    host = made.hosts["gpu1"]
    (release,) = host["releases"]
    assert release["version"] == "0.31.0+rocm723" and release["index"]["extra_index_urls"] == ROCM["vllm_extra_index_urls"]
    assert (release["cuda"]["source"], release["verify_commands"], release["cpu"], release["python"]) == ("none", [], False, "3.12")
    assert {"libopenmpi3t64", "libnuma1"} <= set(host["packages"])
    first, other = host["services"]
    assert first["environment"]["HIP_VISIBLE_DEVICES"] == "0,1,2,3" and other["environment"]["HIP_VISIBLE_DEVICES"] == "4,5"
    assert not [name for name in first["environment"] if name.startswith("CUDA")]
    (unit,) = first["units"]
    assert unit["device_groups"] == ["render"]
    assert not [word for word in unit["supervisor"] if word.startswith("--gpus")]
    assert "--tensor-parallel-size=4" in first["argv"] or first["argv"][first["argv"].index("--tensor-parallel-size") + 1] == "4"
    assert [text for text in made.warnings if "no run on AMD GPUs has tested" in text]


def test_memory_is_that_of_the_gpus(plan: Plan) -> None:
    """Qwen3-235B in BF16 takes 470 GB: four MI300X hold it, two do not."""
    big = service(model="qwen3-235b-a22b", vllm_args={"max_model_len": 32768})
    assert plan(big, facts=amd_facts(), **ROCM).errors == []
    errors = plan({**big, "gpus": [0, 1]}, facts=amd_facts(), **ROCM).errors
    assert [error.check for error in errors] == ["memory"] and "192.0 GiB" in errors[0].why


@pytest.mark.parametrize(("name", "gib"), [("MI210", 64), ("MI300X", 192), ("MI325X", 256), ("AMD Instinct MI355X", 288), ("RX 7900 XTX", 24), ("R9700", 32)])
def test_a_name_says_the_memory(plan: Plan, name: str, gib: int) -> None:
    """A service that takes too much of everything says how much there is."""
    made = plan(service(model="deepseek-v3.1", gpus=[0], vllm_args={"tensor_parallel_size": 1}), plan_gpus=[{"name": name}], **ROCM)
    (why,) = [error.why for error in made.errors if error.check == "memory"]
    assert abs(float(why.split(" of a GPU's ")[1].split()[0]) - gib) < 0.2


def test_what_is_stated_wins(plan: Plan) -> None:
    made = plan(service(model="qwen3-8b", gpus=[0]), plan_gpus=[{"name": "MI300X", "gfx": "gfx906"}], **ROCM)
    assert [error.check for error in made.errors] == ["rocm-target"]
    bad = plan(service(model="qwen3-8b", gpus=[0]), plan_gpus=[{"name": "MI300X", "gfx": "9.4.2"}], **ROCM)
    assert [(error.key, error.why) for error in bad.errors] == [("plan_gpus[0].gfx", "9.4.2 is not an LLVM target of an AMD GPU")]


def test_stated_values_complete_the_facts(plan: Plan) -> None:
    """rocm-smi without --showmeminfo has no memory."""
    facts = amd_facts(amd={"gpus": [{**amd_gpus("mi300x")[0], "memory_bytes": None, "gfx": ""}]})
    made = plan(service(model="qwen3-8b", gpus=[0]), facts=facts, plan_gpus=[{"name": "MI300X"}], **ROCM)
    assert made.errors == [] and not [text for text in made.warnings if "does not report the memory" in text]


def test_a_graphics_unit_beside_gpus_of_nvidia_does_not_count(plan: Plan) -> None:
    inside = {**amd_gpus("mi300x")[0], "gfx": "gfx1036", "name": "AMD Radeon Graphics"}
    made = plan(service(), facts=host_facts(gpus=gpus(4), amd={"gpus": [inside]}))
    assert made.errors == []
    assert made.hosts["gpu1"]["services"][0]["environment"]["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"


INSIDE = {**amd_gpus("mi300x")[0], "gfx": "gfx1036", "name": "AMD Radeon Graphics"}


@pytest.mark.parametrize("stated", [gpus(4), [{"name": "H100", "memory_bytes": 80 * 2**30}] * 4, 4], ids=["facts", "names", "number"])
def test_a_graphics_unit_before_the_driver_of_nvidia_is_installed(plan: Plan, stated: Any) -> None:
    """Then the facts have the unit alone, and the GPUs are those that the user states."""
    made = plan(service(), facts=host_facts(gpus=[], amd={"gpus": [INSIDE]}), plan_gpus=stated, cuda_driver_install=True, cuda_architectures=["9.0"])
    assert made.errors == [] and not [text for text in made.warnings if "AMD" in text]
    assert made.hosts["gpu1"]["services"][0]["environment"]["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"


def test_an_old_gpu_of_amd_does_not_become_one_of_nvidia(plan: Plan) -> None:
    """A number of GPUs does not say whose they are."""
    old = {**INSIDE, "gfx": "gfx906", "name": "AMD Radeon VII"}
    errors = plan(service(model="qwen3-8b", gpus=[0]), facts=amd_facts(amd={"gpus": [old]}), plan_gpus=1, **ROCM).errors
    assert [error.check for error in errors] == ["rocm-target"]


@pytest.mark.parametrize("first", [False, True])
def test_a_graphics_unit_beside_gpus_of_amd_is_left_out(plan: Plan, first: bool) -> None:
    """HIP would give it to a service without gpus as well, so the others are named. As the first KFD node it moves the numbers of the others."""
    unit = {**INSIDE, "index": 8, "node": 1 if first else 99}
    big = service(model="qwen3-32b", gpus=..., vllm_args={"max_model_len": 8192})
    made = plan(big, facts=amd_facts(amd={"gpus": [*amd_gpus(), unit]}), **ROCM)
    if first:
        [error] = made.errors
        assert (error.check, error.value) == ("rocm-order", "all") and "turn off GPU 8" in error.fix
        return
    assert made.errors == []
    one = made.hosts["gpu1"]["services"][0]
    assert "--tensor-parallel-size=8" in one["argv"] and one["environment"]["HIP_VISIBLE_DEVICES"] == "0,1,2,3,4,5,6,7"


def test_two_services_in_another_order_cannot_both_have_all_gpus(plan: Plan) -> None:
    other = [{**gpu, "node": 9 - gpu["index"]} for gpu in amd_gpus()]
    two = [service(name=name, model="qwen3-8b", port=port, gpus=[port - 8001], vllm_args={"max_model_len": 8192}) for name, port in (("a", 8001), ("b", 8002))]
    errors = plan(*two, facts=amd_facts(amd={"gpus": other}), **ROCM).errors
    assert [error.check for error in errors] == ["rocm-order"] * 2
    assert all(error.fix.startswith("serve one service on this host, with all of its GPUs and without gpus, and the others on other") for error in errors)


BROKEN = {"gpus": [], "error": "amd-smi failed with status 1", "fix": "run the program on the host"}


def test_a_broken_amd_smi_does_not_matter_to_stated_gpus_of_nvidia(plan: Plan) -> None:
    assert plan(service(), facts=host_facts(gpus=[], amd=BROKEN), plan_gpus=gpus(4), cuda_driver_install=True).errors == []


@pytest.mark.parametrize("stated", [None, [{"name": "MI300X"}] * 4, 4], ids=["nothing", "names", "number"])
def test_a_broken_amd_smi_matters_otherwise(plan: Plan, stated: Any) -> None:
    variables = {} if stated is None else {"plan_gpus": stated}
    errors = plan(service(), facts=amd_facts(amd=BROKEN), **variables, **ROCM).errors
    assert "the host cannot report its AMD GPUs" in [error.why for error in errors]


def test_a_driver_that_does_not_work_is_an_error_with_its_fix(plan: Plan) -> None:
    facts = amd_facts(amd={"gpus": [], "error": "amd-smi gave no answer: timed out", "fix": "the driver hangs: see dmesg"})
    errors = plan(service(), facts=facts, **ROCM).errors
    assert [(error.key, error.why, error.fix) for error in errors] == [("gpus", "the host cannot report its AMD GPUs", "the driver hangs: see dmesg")]


def test_without_gpus_known_a_build_for_rocm_gets_the_variable_of_hip(plan: Plan) -> None:
    made = plan(service(), **ROCM)
    assert made.errors == [] and made.hosts["gpu1"]["services"][0]["environment"]["HIP_VISIBLE_DEVICES"] == "0,1,2,3"


@pytest.mark.parametrize("name", ["HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"])
def test_the_variables_are_the_plans(plan: Plan, name: str) -> None:
    errors = plan(service(environment={name: "0"}), facts=amd_facts(), **ROCM).errors
    assert [error.key for error in errors] == [f"environment.{name}"]


def test_aiter_is_the_users_choice(plan: Plan) -> None:
    """The plan sets no variable of AITER; vLLM knows those that a user sets."""
    made = plan(service(environment={"VLLM_ROCM_USE_AITER": 1}), facts=amd_facts(), **ROCM)
    assert made.errors == [] and made.hosts["gpu1"]["services"][0]["environment"]["VLLM_ROCM_USE_AITER"] == "1"


def test_a_service_on_cpus_has_nothing_to_do_with_them(plan: Plan) -> None:
    made = plan(service(model="qwen3-8b", gpus=..., vllm_args={"max_model_len": 8192, "tensor_parallel_size": 1}), facts=amd_facts(), vllm_version="0.32.0+cpu")
    assert made.errors == [] and not [text for text in made.warnings if "AMD" in text]
    (unit,) = made.hosts["gpu1"]["services"][0]["units"]
    assert "device_groups" not in unit


def test_a_blue_green_update_names_its_gpus_to_hip(plan: Plan) -> None:
    running = {"unit": "vllm-qwen.service", "service": "qwen", "active": "active", "enabled": "enabled", "port": 8001, "gpus": [0, 1, 2, 3]}
    made = plan(service(), facts=amd_facts(services=[running]), model_service_update_strategy="blue_green", **ROCM)
    assert made.errors == []
    green = made.hosts["gpu1"]["services"][0]["green"]["service"]
    assert green["environment"]["HIP_VISIBLE_DEVICES"] == "4,5,6,7" and "CUDA_VISIBLE_DEVICES" not in green["environment"]


@pytest.mark.parametrize("amd", [None, [], "x", {"gpus": "x"}, {"gpus": [5, {"index": "a"}]}, {"warnings": 5, "device_groups": [1], "closed_devices": None}])
def test_facts_of_another_form_are_no_crash(plan: Plan, amd: Any) -> None:
    plan(service(), facts={**amd_facts(), "amd": amd}, **ROCM)


@pytest.mark.parametrize(("rocm", "checks"), [("7.0.2", ["rocm-version"]), ("7.2.0", []), ("7.13", []), ("8.0", ["rocm-version"])])
def test_an_older_minor_version_of_rocm_does_not_do(plan: Plan, rocm: str, checks: list[str]) -> None:
    made = plan(service(), facts=amd_facts(amd={"rocm_version": rocm}), **ROCM)
    assert [error.check for error in made.errors] == checks


@pytest.mark.parametrize("backend", ["ROCM_AITER_FA", "ROCM_ATTN", "TRITON_ATTN"])
def test_attention_backends_of_these_gpus_are_the_users_choice(plan: Plan, backend: str) -> None:
    assert plan(service(vllm_args={"attention_backend": backend}), facts=amd_facts(), **ROCM).errors == []


def test_the_supervisor_does_not_look_for_gpus_of_nvidia(plan: Plan) -> None:
    """Also where the service has all GPUs of the host."""
    made = plan(service(model="qwen3-32b", gpus=..., vllm_args={"max_model_len": 8192}), facts=amd_facts(), **ROCM)
    assert made.errors == []
    (unit,) = made.hosts["gpu1"]["services"][0]["units"]
    assert not [word for word in unit["supervisor"] if word.startswith("--gpus")]
