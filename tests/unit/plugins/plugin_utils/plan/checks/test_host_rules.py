# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the plan checks against a host before anything changes: its system and Python, disks and mounts, GPUs that are too old, broken or split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import gpus, host_facts, service

Plans = Callable[..., Plan]
GB = 10**9
SLICE = "MIG-377e0049-554c-540b-93c6-d0976f8426cb"
OTHER = "MIG-c7384736-a75d-5afc-978f-d2f1294409fd"
JAMMY = {"os": {"id": "ubuntu", "version_id": "22.04", "like": ["debian"]}, "python": "3.10.12", "architecture": "x86_64", "systemd": True}
TRIXIE = {"os": {"id": "debian", "version_id": "13", "like": []}, "python": "3.13.5", "architecture": "x86_64", "systemd": True}


def small(**keys: Any) -> dict[str, Any]:
    """A small model on one GPU."""
    return service(**{"model": "qwen3-8b", "gpus": [0], "vllm_args": {"max_model_len": 8192}, **keys})


def facts_of(**keys: Any) -> dict[str, Any]:
    """A host with two H100 and room."""
    return host_facts(**{"gpus": gpus(2), **keys})


def mounts(**free: Any) -> list[dict[str, Any]]:
    """Mounts by their place, `root` for /, with the bytes free there, or those and options."""
    made = []
    for name, value in free.items():
        size, *options = value if isinstance(value, tuple) else (value,)
        made.append({"mount": "/" + name.replace("root", "").replace("_", "/"), "free_bytes": size, "options": ["rw", *options]})
    return made


def only(plan: Plan) -> Any:
    """The one error of a plan."""
    assert len(plan.errors) == 1, plan.errors
    return plan.errors[0]


# -- the system


@pytest.mark.parametrize(("system", "version"), [("debian", "12"), ("debian", "13"), ("ubuntu", "22.04"), ("ubuntu", "24.04"), ("ubuntu", "26.04")])
def test_systems_that_are_supported(plan: Plans, system: str, version: str) -> None:
    facts = facts_of(os={"id": system, "version_id": version, "like": []}, systemd=True)
    assert plan(small(), facts=facts).errors == []


def test_another_version_is_refused_and_can_be_accepted(plan: Plans) -> None:
    facts = facts_of(os={"id": "ubuntu", "version_id": "28.04", "like": ["debian"]}, systemd=True)
    error = only(plan(small(), facts=facts))
    assert (error.key, error.value, error.check) == ("os", "ubuntu 28.04", "system")
    accepted = plan(small(), facts=facts, plan_accept={"system": "tried it", "cuda-compiler": "x", "open-port": "x", "key-scope": "x"})
    assert accepted.errors == []


def test_a_system_without_apt_or_systemd_cannot_be_accepted(plan: Plans) -> None:
    found = plan(small(), facts=facts_of(os={"id": "rocky", "version_id": "9.4", "like": ["rhel"]}, systemd=True))
    assert [(error.key, error.check) for error in found.errors] == [("os", "")]
    found = plan(small(), facts=facts_of(os={"id": "debian", "version_id": "12", "like": []}, systemd=False))
    assert "systemd" in only(found).why and only(found).check == ""


# -- Python


def test_ubuntu_22_04_with_defaults_is_refused_before_anything_changes(plan: Plans) -> None:
    error = only(plan(small(), facts=facts_of(**JAMMY)))
    assert (error.key, error.value) == ("vllm_python", "/usr/bin/python3 (Python 3.10.12)")
    assert "Python 3.11 or newer" in error.why
    for way in ("vllm_python: /usr/bin/python3.11", "vllm_python: '3.12'", "vllm_version: 0.31.0"):
        assert way in error.fix


@pytest.mark.parametrize("change", [{"vllm_python": "/usr/bin/python3.11"}, {"vllm_python": "3.12"}, {"vllm_python": 3.12}, {"vllm_version": "0.31.0"}])
def test_each_way_out_of_it_leads_to_a_plan(plan: Plans, change: dict[str, Any]) -> None:
    assert plan(small(), facts=facts_of(**JAMMY), **change).errors == []


def test_a_python_of_the_archive_comes_with_its_headers(plan: Plans) -> None:
    found = plan(small(), facts=facts_of(**JAMMY), vllm_python="/usr/bin/python3.11")
    assert {"python3.11", "python3.11-dev", "python3.11-venv"} <= set(found.hosts["gpu1"]["packages"])
    assert found.hosts["gpu1"]["releases"][0]["python"] == "/usr/bin/python3.11"
    usual = plan(small(), facts=facts_of(**TRIXIE), vllm_python="/usr/bin/python3.13")
    assert not any(name.startswith("python3.") for name in usual.hosts["gpu1"]["packages"])


def test_a_python_that_is_too_new(plan: Plans) -> None:
    error = only(plan(small(), facts=facts_of(**TRIXIE), vllm_version="0.9.2"))
    assert "Python 3.9 or newer and older than 3.13" in error.why
    assert "vllm_python: '3.12'" in error.fix and "vllm_version: 0.10.2" in error.fix
    assert plan(small(), facts=facts_of(**TRIXIE), vllm_version="0.10.2").errors == []
    assert plan(small(), facts=facts_of(**TRIXIE), vllm_version="0.9.2", vllm_python="3.12").errors == []


def test_a_release_that_stands_needs_no_python(plan: Plans) -> None:
    name = plan(small(), facts=facts_of(**JAMMY), vllm_python="3.12").hosts["gpu1"]["releases"][0]["name"]
    assert plan(small(), facts=facts_of(**JAMMY, releases=[name]), vllm_python="3.12").errors == []


def test_an_interpreter_that_is_not_there(plan: Plans) -> None:
    facts = facts_of(**{**TRIXIE, "pythons": {"/usr/bin/python3": "3.13", "/opt/py/bin/python": ""}})
    error = only(plan(small(), facts=facts, vllm_python="/opt/py/bin/python"))
    assert "does not have this interpreter" in error.why and "/usr/bin/python3" in error.fix


@pytest.mark.parametrize(("value", "said"), [(3.1, "in quotes"), ("python3.11", "neither a path nor a version"), ("3", "neither a path"), (True, "text")])
def test_values_of_vllm_python_that_mean_nothing(plan: Plans, value: Any, said: str) -> None:
    error = only(plan(small(), facts=facts_of(), vllm_python=value))
    assert error.key == "vllm_python" and said in error.why + error.fix


def test_a_python_of_uv_without_a_network(plan: Plans) -> None:
    settings = {"vllm_no_index": True, "vllm_find_links": ["/srv/wheels"], "vllm_python": "3.12"}
    assert "vllm_python_mirror" in only(plan(small(), facts=facts_of(), **settings)).fix
    assert plan(small(), facts=facts_of(), vllm_python_mirror="file:///srv/python", **settings).errors == []


@pytest.mark.parametrize(("wheel", "fits"), [
    ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", False),
    ("torch-2.13.0-cp313-cp313-manylinux_2_28_x86_64.whl", True),
    ("torch-2.13.0-cp313-cp313t-manylinux_2_28_x86_64.whl", False),
    ("torch-2.13.0-cp313-cp313-manylinux_2_28_aarch64.whl", False),
    ("torch-2.13.0-1-cp38-abi3-manylinux1_x86_64.whl", True),
    ("torch-2.13.0-py3-none-any.whl", True),
    ("torch-2.13.0.tar.gz", True),
])
def test_a_wheelhouse_without_a_wheel_for_the_host(plan: Plans, wheel: str, fits: bool) -> None:
    settings = {"vllm_no_index": True, "vllm_find_links": ["/srv/wheels"]}
    facts = facts_of(**TRIXIE, wheels={"/srv/wheels": [wheel, "vllm-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl"]})
    found = plan(small(), facts=facts, **settings).errors
    assert [error.key for error in found] == ([] if fits else ["vllm_find_links"])


def test_a_machine_that_has_no_wheels(plan: Plans) -> None:
    arm = facts_of(architecture="aarch64")
    assert plan(small(), facts=arm).errors == []
    error = only(plan(small(), facts=arm, vllm_version="0.10.1.1"))
    assert (error.check, "0.10.2 or newer" in error.fix) == ("architecture", True)
    assert plan(small(), facts=arm, vllm_version="0.10.1.1", vllm_index_url="https://pypi.example/simple").errors == []
    assert "x86_64, aarch64" in only(plan(small(), facts=facts_of(architecture="ppc64le"))).why


# -- disks and mounts


def test_a_small_root_and_a_var_that_is_noexec(plan: Plans) -> None:
    facts = facts_of(mounts=mounts(root=3 * GB, var=(2 * GB, "noexec"), data=8000 * GB))
    found = {(error.key, error.check): error for error in plan(small(), facts=facts, weights_dir="/data/models").errors}
    assert set(found) == {("host_cache_dir", "noexec"), ("vllm_releases_dir", "disk"), ("vllm_uv_cache_dir, host_cache_dir", "disk")}
    assert "Triton" in found["host_cache_dir", "noexec"].why
    assert "9.0 GB" in found["vllm_releases_dir", "disk"].why and "3.0 GB left" in found["vllm_releases_dir", "disk"].why


def test_the_way_out_of_it_leads_to_a_plan(plan: Plans) -> None:
    facts = facts_of(mounts=mounts(root=3 * GB, var=(2 * GB, "noexec"), data=8000 * GB))
    places = {"weights_dir": "/data/models", "vllm_releases_dir": "/data/releases", "vllm_uv_cache_dir": "/data/uv", "host_cache_dir": "/data/cache"}
    assert plan(small(), facts=facts, **places).errors == []


def test_what_shares_a_file_system_is_added_up(plan: Plans) -> None:
    # 16.4 GB of weights, 9 of the release (linked to the cache's files), 1 of compiled kernels, 1.1 to stay free.
    assert plan(small(), facts=facts_of(mounts=mounts(root=28 * GB))).errors == []
    error = only(plan(small(), facts=facts_of(mounts=mounts(root=26 * GB))))
    assert error.key == "weights_dir, vllm_releases_dir, host_cache_dir"
    assert plan(small(), facts=facts_of(mounts=mounts(root=26 * GB)), vllm_uv_cache_dir="/data/uv").errors[0].key == error.key


def test_on_another_file_system_the_cache_counts_as_well(plan: Plans) -> None:
    facts = facts_of(mounts=mounts(root=100 * GB, data=8 * GB))
    assert only(plan(small(), facts=facts, vllm_uv_cache_dir="/data/uv")).key == "vllm_uv_cache_dir"


def test_a_release_that_stands_needs_no_room(plan: Plans) -> None:
    name = plan(small()).hosts["gpu1"]["releases"][0]["name"]
    path = plan(small()).hosts["gpu1"]["weights"][0]["path"]
    assert plan(small(), facts=facts_of(mounts=mounts(root=0), releases=[name], weights=[path])).errors == []


def test_a_link_to_a_larger_disk_is_followed(plan: Plans) -> None:
    facts = facts_of(mounts=mounts(root=GB, data=100 * GB), paths={
        "/opt/inferops/releases": "/data/releases", "/var/cache/inferops/uv": "/data/uv", "/var/cache/inferops": "/data/cache",
        "/var/lib/inferops/models": "/data/models",
    })
    assert plan(small(), facts=facts).errors == []


def test_a_read_only_mount(plan: Plans) -> None:
    facts = facts_of(mounts=[*mounts(root=100 * GB), {"mount": "/opt", "free_bytes": 100 * GB, "options": ["ro", "relatime"]}])
    found = plan(small(), facts=facts).errors
    assert [(error.key, error.check) for error in found] == [("host_install_dir", ""), ("vllm_releases_dir", "")]


def test_a_file_system_without_files_left(plan: Plans) -> None:
    facts = facts_of(mounts=[{"mount": "/", "free_bytes": 100 * GB, "free_files": 1000}])
    assert "df -i" in only(plan(small(), facts=facts)).why
    assert plan(small(), facts=facts_of(mounts=[{"mount": "/", "free_bytes": 100 * GB, "free_files": None}])).errors == []


def test_a_tmp_that_is_noexec(plan: Plans) -> None:
    facts = facts_of(mounts=mounts(root=100 * GB, tmp=(GB, "noexec")))
    assert only(plan(small(), facts=facts)).key == "/tmp"
    assert plan(small(), facts=facts, cuda_source="none").errors == []


# -- GPUs

V100 = {"name": "Tesla V100-SXM2-32GB", "memory_bytes": 32768 * 2**20, "compute_capability": "7.0", "driver_version": "580.105.08"}
GTX = {"name": "NVIDIA GeForce GTX 1080 Ti", "memory_bytes": 11264 * 2**20, "compute_capability": "6.1", "driver_version": "580.105.08"}
OLD = {"model": "qwen3-1.7b", "vllm_args": {"dtype": "half", "max_model_len": 4096}}


@pytest.mark.parametrize("as_facts", [False, True])
def test_gpus_that_are_too_old(plan: Plans, as_facts: bool) -> None:
    def on(what: dict[str, Any], **settings: Any) -> Plan:
        given = {"facts": host_facts(gpus=gpus(1, **what))} if as_facts else {"plan_gpus": gpus(1, **what)}
        return plan(small(**OLD), **given, **settings)

    error = only(on(V100))
    assert error.check == "cuda" and "compute capability 7.5 on" in error.why and "vllm_version to 0.19.0" in error.fix
    assert on(V100, vllm_version="0.19.0").errors == []
    error = only(on(GTX, vllm_version="0.9.1"))
    assert "compute capability 7.0 on" in error.why and "vllm_version" not in error.fix
    assert on({**V100, "compute_capability": "7.5"}).errors == []


@pytest.mark.parametrize(("said", "fix"), [
    ("pstate [GPU is lost]", "Xid 79"), ("temperature.gpu [GPU requires reset]", "--gpu-reset -i 1"), ("utilization.gpu ERR!", "dmesg"),
    ("gpu_recovery_action Reset", "--gpu-reset"), ("pstate [Unknown Error]", "reboot"),
])
def test_gpus_that_do_not_work_are_not_planned_on(plan: Plans, said: str, fix: str) -> None:
    found = gpus(2)
    found[1]["error"] = said
    error = only(plan(small(gpus=...), facts=host_facts(gpus=found)))
    assert (error.key, error.value) == ("gpus", "all")
    assert said in error.why and fix in error.fix and "working: 0" in error.fix
    assert plan(small(gpus=[0]), facts=host_facts(gpus=found)).errors == []
    assert only(plan(small(gpus=[1]), facts=host_facts(gpus=found))).key == "gpus"


def split(**keys: Any) -> list[dict[str, Any]]:
    """Two GPUs, the second of which MIG splits in two."""
    found = gpus(2)
    parts = [{"uuid": uuid, "profile": "3g.40gb", "memory_bytes": 40448 * 2**20} for uuid in (SLICE, OTHER)]
    found[1].update(split=True, slices=parts, **keys)
    return found


@pytest.mark.parametrize("as_facts", [False, True])
def test_a_slice_is_named_by_its_uuid(plan: Plans, as_facts: bool) -> None:
    given = {"facts": host_facts(gpus=split())} if as_facts else {"plan_gpus": split()}
    found = plan(small(gpus=[SLICE]), **given)
    assert found.errors == []
    made = found.hosts["gpu1"]["services"][0]
    assert made["environment"]["CUDA_VISIBLE_DEVICES"] == SLICE and made["gpus"] == [SLICE]
    assert 40448 * 2**20 in made["memory"].values()
    assert plan(small(gpus=[SLICE]), small(name="b", port=8002, gpus=[OTHER]), **given).errors == []
    assert plan(small(gpus=[SLICE]), small(name="b", port=8002, gpus=[SLICE]), **given).errors != []


def test_the_memory_of_a_split_card_is_nobodys(plan: Plans) -> None:
    big = {"model": "qwen3-32b", "vllm_args": {"max_model_len": 4096}}
    assert plan(small(**big, gpus=[0]), plan_gpus=split()).errors == []
    assert "too much, without any KV cache" in only(plan(small(**big, gpus=[SLICE]), plan_gpus=split())).why


@pytest.mark.parametrize("named", [[1], ..., [0, 1]])
def test_a_split_card_is_not_used_whole(plan: Plans, named: Any) -> None:
    error = only(plan(small(gpus=named), plan_gpus=split()))
    assert "split by MIG" in error.why and f"gpus: [{SLICE}]" in error.fix and "-mig 0" in error.fix


def test_a_service_is_not_spread_over_slices(plan: Plans) -> None:
    assert "cannot span several of them" in plan(small(gpus=[SLICE, OTHER]), plan_gpus=split()).errors[0].why
    assert "no GPU MIG-00000000" in only(plan(small(gpus=["MIG-00000000-554c-540b-93c6-d0976f8426cb"]), plan_gpus=split())).why


@pytest.mark.parametrize("value", ["MIG-1", "GPU-5f8b4a2e-0000-0000-0000-000000000001", "MIG-x;reboot"])
def test_names_that_are_no_slices(plan: Plans, value: str) -> None:
    found = plan(small(gpus=[value]), plan_gpus=gpus(2))
    assert only(found).key == "gpus"


@pytest.mark.parametrize("chosen", [SLICE, "0", "2,3"])
def test_vllm_does_not_choose_gpus_by_itself(plan: Plans, chosen: str) -> None:
    error = only(plan(small(vllm_args={"max_model_len": 8192, "device_ids": chosen}), plan_gpus=gpus(4)))
    assert error.key == "vllm_args.device_ids" and "gpus" in error.fix


def test_the_environment_does_not_choose_gpus(plan: Plans) -> None:
    error = only(plan(small(environment={"CUDA_VISIBLE_DEVICES": "2,3"}), plan_gpus=gpus(4)))
    assert error.key == "environment.CUDA_VISIBLE_DEVICES"
    assert "CUDA_VISIBLE_DEVICES" in only(plan(small(gpus=...), model_service_environment={"CUDA_VISIBLE_DEVICES": "1"}, plan_gpus=gpus(1))).key


GB10 = {"name": "NVIDIA GB10", "memory_bytes": None, "compute_capability": "12.1", "driver_version": "580.126.09"}


def test_memory_that_is_shared_is_stated(plan: Plans) -> None:
    facts = host_facts(gpus=gpus(1, **GB10))
    big = {"model": "qwen3-235b-a22b-fp8", "vllm_args": {"max_model_len": 4096}}
    unknown = plan(small(**big), facts=facts)
    assert unknown.errors == [] and any("plan_gpus" in warning and "GB10" in warning for warning in unknown.warnings)
    stated = plan(small(**big), facts=facts, plan_gpus=[{"index": 0, "memory_bytes": 128 * 10**9}])
    assert "too much, without any KV cache" in only(stated).why
    assert plan(small(), facts=facts, plan_gpus=[{"memory_bytes": 128 * 10**9}]).hosts["gpu1"]["services"][0]["memory"] is not None


def test_what_the_host_says_goes_before_what_is_stated(plan: Plans) -> None:
    facts = host_facts(gpus=gpus(1))
    big = {"model": "qwen3-32b", "vllm_args": {"max_model_len": 4096}}
    assert plan(small(**big), facts=facts, plan_gpus=[{"index": 0, "memory_bytes": 2**30}]).errors == []


@pytest.mark.parametrize(("capability", "good"), [("8.0", False), ("8.9", False), ("9.0", True), ("10.3", True), ("11.0", False), ("12.0", True), ("13.0", False)])
def test_sparse_attention_has_kernels_at_both_ends(plan: Plans, capability: str, good: bool) -> None:
    cards = gpus(8, name="a card", memory_bytes=288 * 10**9, compute_capability=capability)
    found = plan(service(model="deepseek-v3.2", gpus=list(range(8)), vllm_args={"max_model_len": 32768}), plan_gpus=cards)
    assert [error.check for error in found.errors] == ([] if good else ["kernels"])


def test_an_attention_backend_of_other_gpus(plan: Plans) -> None:
    given = small(vllm_args={"max_model_len": 8192, "attention_backend": "CUTLASS_MLA"})
    assert only(plan(given, plan_gpus=gpus(1))).key == "vllm_args.attention_backend"
    flash = small(vllm_args={"max_model_len": 8192, "attention_backend": "FLASH_ATTN"})
    assert plan(flash, plan_gpus=gpus(1)).errors == []


@pytest.mark.parametrize(("wrong", "key"), [
    ({"memory_bytes": "80 GiB"}, "memory_bytes"), ({"memory_bytes": 80}, "memory_bytes"), ({"memory_bytes": -1}, "memory_bytes"),
    ({"compute_capability": "sm_90"}, "compute_capability"), ({"compute_capability": 90}, "compute_capability"), ({"driver_version": "new"}, "driver_version"),
    ({"memory": 80}, "memory"), ({"index": -1}, "index"), ({"slices": ["a"]}, "slices"), ({"name": 7}, "name"),
])
def test_gpus_that_are_stated_wrong(plan: Plans, wrong: dict[str, Any], key: str) -> None:
    found = plan(small(), plan_gpus=[{**gpus(1)[0], **wrong}])
    assert f"plan_gpus[0].{key}" in [error.key for error in found.errors]


def test_a_gpu_is_stated_once(plan: Plans) -> None:
    assert "more than once" in only(plan(small(), plan_gpus=[*gpus(1), *gpus(1)])).why


def test_stated_gpus_pass_the_driver_s_check(plan: Plans) -> None:
    assert only(plan(small(), plan_gpus=gpus(1, driver_version="550.54.15"))).check == "driver"
