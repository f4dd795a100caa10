# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The toolkit that the plan gives a release, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import gpus, host_facts, keys_of, service

Plans = Callable[..., Plan]
PARTS = "cuda-toolkit[nvcc,crt,nvvm,cudart,nvrtc,cupti,cccl,nvjitlink]"
BINDINGS = "cuda-python>=13"


def release(plan: Plan) -> dict[str, Any]:
    """The one release of the one host."""
    assert not plan.errors, [(error.key, error.why) for error in plan.errors]
    (host,) = plan.hosts.values()
    return dict(host["releases"][0])


def one_service(plan: Plan) -> dict[str, Any]:
    (host,) = plan.hosts.values()
    return dict(host["services"][0])


@pytest.mark.parametrize(
    ("variables", "requirements"),
    [
        ({"vllm_version": "0.32.0"}, [f"{PARTS}==13.0.*", BINDINGS]),
        ({"vllm_version": "0.32.0", "vllm_torch_backend": "cu132"}, [f"{PARTS}==13.2.*", BINDINGS]),
        ({"vllm_version": "0.99.0"}, [PARTS, BINDINGS]),
        ({"vllm_version": "0.32.0", "vllm_source": "nightly", "vllm_extra_index_urls": ["https://nightly.example.org"]}, [PARTS, BINDINGS]),
        ({"vllm_version": "0.32.0+cpu"}, []),
        ({"vllm_version": "0.32.0", "cuda_source": "system"}, []),
        ({"vllm_version": "0.32.0", "cuda_source": "none"}, []),
        ({"vllm_version": "0.19.0"}, []),
        ({"vllm_version": "0.32.0+cu129"}, []),
    ],
    ids=["known", "named by the backend", "not known", "nightly", "for CPUs", "elsewhere", "none", "before wheels", "before wheels by its build"],
)
def test_requirements(plan: Plans, variables: dict[str, Any], requirements: list[str]) -> None:
    found = plan(service(model="qwen3-0.6b", gpus=[0]), facts=host_facts(gpus=gpus()), **variables)
    assert release(found)["requirements"] == requirements


def test_toolkit_elsewhere(plan: Plans) -> None:
    """Another toolkit is another release, whose own libraries stay before the toolkit's when it runs."""
    facts = host_facts(gpus=gpus())
    system = plan(service(), facts=facts, cuda_source="system", cuda_system_path="/opt/cuda")
    assert release(system)["cuda"]["path"] == "/opt/cuda"
    assert release(system)["verify_commands"][0][-2:] == ["--toolkit", "/opt/cuda"]
    assert "LD_LIBRARY_PATH" not in one_service(system)["environment"]
    packages = plan(service(), facts=facts, cuda_source="packages", cuda_apt_repository="https://mirror.example.org/cuda")
    assert release(packages)["cuda"]["path"] == "/usr/local/cuda-13.0"
    distribution = plan(service(), facts=facts, cuda_source="packages")
    assert release(distribution)["cuda"]["path"] == "/usr/lib/cuda"
    assert len({release(plan)["name"] for plan in (system, packages, distribution)}) == 3


def test_environment(plan: Plans) -> None:
    """All of it below the release, no list with an empty element, and none of it where there is no CUDA."""
    found = one_service(plan(service(), facts=host_facts(gpus=gpus())))
    home = f"{found['release_path']}/cuda"
    assert found["environment"]["CUDA_HOME"] == home
    assert found["environment"]["PATH"].split(":")[:2] == [f"{found['release_path']}/bin", f"{home}/bin"]
    for name in ("PATH", "CPATH", "LIBRARY_PATH", "LD_LIBRARY_PATH"):
        assert "" not in found["environment"][name].split(":")
    assert "stubs" not in found["environment"]["LD_LIBRARY_PATH"]
    assert found["before_start"][0][2:4] == ["/opt/inferops/lib/current", "cuda.clear_caches"]
    processors = one_service(plan(service(vllm_version="0.32.0+cpu"), facts=host_facts()))
    assert "CUDA_HOME" not in processors["environment"] and processors["before_start"] == []


def test_architectures(plan: Plans) -> None:
    """Those of the GPUs, unless the user names some; the release is the same."""
    facts = host_facts(gpus=[*gpus(1), *({**gpu, "index": 1, "compute_capability": "8.0"} for gpu in gpus(1))])
    small = service(model="qwen3-0.6b", gpus=[0])
    found = plan(small, facts=facts)
    assert release(found)["cuda"]["architectures"] == ["8.0", "9.0"]
    stated = plan(small, facts=facts, cuda_architectures=[12.0, "9.0", "10.0"])
    assert release(stated)["cuda"]["architectures"] == ["9.0", "10.0", "12.0"]
    assert release(stated)["name"] == release(found)["name"]


@pytest.mark.parametrize(
    ("variables", "key", "why"),
    [
        ({"cuda_source": "wheel"}, "cuda_source", "there is no such source"),
        ({"cuda_architectures": ["sm_90"]}, "cuda_architectures", "sm_90 is not a compute capability"),
        ({"cuda_architectures": "9.0"}, "cuda_architectures", ""),
        ({"cuda_system_path": "cuda"}, "cuda_system_path", ""),
        ({"cuda_driver_branch": "580.95"}, "cuda_driver_branch", "this is not a branch"),
        ({"cuda_reboot": "perhaps"}, "cuda_reboot", ""),
        ({"cuda_source": "packages", "cuda_apt_repository": "https://mirror.example.org/cuda", "vllm_version": "0.99.0"}, "cuda_source", "does not know the CUDA version of vLLM 0.99.0"),
        ({"cuda_architectures": ["12.0"], "cuda_source": "system", "vllm_torch_backend": "cu126"}, "cuda_architectures", "needs CUDA 12.8"),
        ({"model_service_environment": {"LD_LIBRARY_PATH": ":/opt/lib"}}, "environment.LD_LIBRARY_PATH", "an empty element"),
        ({"model_service_environment": {"PATH": "/opt/bin::/usr/bin"}}, "environment.PATH", "an empty element"),
        ({"cuda_driver_install": True, "cuda_driver_branch": 570}, "cuda_driver_branch", "needs driver 580"),
    ],
)
def test_refused(plan: Plans, variables: dict[str, Any], key: str, why: str) -> None:
    errors = plan(service(model="qwen3-0.6b", gpus=[0]), facts=host_facts(gpus=gpus()), **variables).errors
    assert [error.key for error in errors] == [key]
    assert why in errors[0].why and errors[0].fix


def test_nothing_says_what_to_compile_for(plan: Plans) -> None:
    facts = host_facts(gpus=[])
    assert keys_of(plan(service(), facts=facts, plan_gpus=4).errors) == [("qwen", "cuda_architectures")]
    assert not plan(service(), facts=facts, plan_gpus=4, cuda_architectures=["9.0"]).errors
    assert not plan(service(), facts=facts, plan_gpus=gpus()).errors


def test_an_older_driver_goes(plan: Plans) -> None:
    """A driver that is to be replaced is not checked against the CUDA."""
    facts = host_facts(gpus=gpus(driver_version="535.104.05"))
    (error,) = plan(service(), facts=facts).errors
    assert (error.key, error.value) == ("gpus", "driver 535.104.05") and "580" in error.why and "cuda_driver_install" in error.fix
    assert not plan(service(), facts=facts, cuda_driver_install=True).errors


def test_a_broken_driver(plan: Plans) -> None:
    said = "nvidia-smi failed with status 18: Failed to initialize NVML: Driver/library version mismatch"
    facts = host_facts(gpus=[], gpu_error=said)
    (error,) = plan(service(), facts=facts).errors
    assert "version mismatch" in error.value and "reboot the host, or stop" in error.fix
    cured = plan(service(), facts=facts, plan_gpus=gpus(), cuda_driver_install=True)
    assert not cured.errors and any("which should fix it" in warning for warning in cured.warnings)


@pytest.mark.parametrize(("version", "variables", "errors"), [
    ("", {}, 1),
    ("580.65.05", {}, 1),
    ("580.65.06", {}, 0),
    ("", {"cuda_fabric_manager": True}, 0),
    ("", {"plan_accept": {"fabric-manager": "the vendor's image brings it under another name"}}, 0),
])
def test_fabric_manager(plan: Plans, version: str, variables: dict[str, Any], errors: int) -> None:
    found = plan(service(), facts=host_facts(gpus=gpus(), nvswitches=4, fabric_manager=version), **variables).errors
    assert len(found) == errors
    if errors:
        assert "error 802" in found[0].why and "580.65.06" in found[0].why


def test_no_compiler_is_told(plan: Plans) -> None:
    warnings = plan(service(model="qwen3-0.6b", gpus=[0]), facts=host_facts(gpus=gpus()), vllm_version="0.19.0", plan_accept={}).warnings
    assert any("gets no CUDA compiler" in warning and "CUDA 12.8" in warning for warning in warnings)
