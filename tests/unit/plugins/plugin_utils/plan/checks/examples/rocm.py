# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""AMD GPUs: their releases, what the host has for them, and what vLLM does not have on them. The facts come from outputs of amd-smi."""

from __future__ import annotations

from typing import Any

from example_builders import Inventory, accepting, example, hosts, one
from plan_builders import amd_facts, amd_gpus, gpus, host_facts, service

INDEX = "https://wheels.vllm.ai/rocm/{}/{}"
ROCM: dict[str, Any] = {
    "vllm_version": "0.31.0+rocm723", "vllm_extra_index_urls": [INDEX.format("0.31.0", "rocm723")], "vllm_python": "3.12",
}
WITHOUT_CHECK = {key: value for key, value in ROCM.items() if key != "vllm_extra_index_urls"}


def on(*services: dict[str, Any], facts: Any = None, **variables: Any) -> Inventory:
    """One host with eight MI300X, unless the facts are others, and a release for ROCm."""
    return one(*services, facts=amd_facts() if facts is None else facts, **{**ROCM, **variables})


def small(**keys: Any) -> dict[str, Any]:
    """A small model on the first GPU."""
    return service(**{"model": "qwen3-8b", "gpus": [0], "vllm_args": {"max_model_len": 8192}, **keys})


def with_args(**vllm_args: Any) -> dict[str, Any]:
    """The same with further arguments."""
    return small(vllm_args={"max_model_len": 8192, **vllm_args})


def amd_of(**amd: Any) -> dict[str, Any]:
    """Facts in which the driver and ROCm are others."""
    return amd_facts(amd=amd)


def spread(made: dict[str, Any], second: Any = None, **accepted: str) -> Inventory:
    """A service on two hosts with eight MI300X each, unless the facts of the second are others."""
    def variables(facts: Any, number: int) -> dict[str, Any]:
        return {"model_services": [made], "facts": {**facts, **at(number)}, "ansible_host": f"10.0.0.{number}", **ROCM}

    return accepting(hosts(gpu1=variables(amd_facts(), 1), gpu2=variables(second or amd_facts(), 2)), **accepted)


def at(number: int) -> dict[str, Any]:
    """Facts of the network of a host."""
    return {"interfaces": {"eth0": [f"10.0.0.{number}"]}}


ALONE = service(name="big", model="qwen3-235b-a22b", gpus=...)
BIG = {**ALONE, "distributed": {"nodes": 2}}
ONE_EACH = {"rocm_multi_node": "it is tried here"}
TRANSFORMERS = {"name": "dev", "model": "qwen3-0.6b", "gpus": [0], "port": 8001}
STRANGE = [{**amd_gpus("mi300x")[0], "gfx": "gfx906", "name": "AMD Radeon VII"}, {**amd_gpus("mi300x")[0], "index": 1}]
REVERSED = [{**gpu, "node": 9 - gpu["index"]} for gpu in amd_gpus()]

EXAMPLES = [
    example(
        "release-is-for-the-gpus",
        one(service(), facts=amd_facts(), vllm_version="0.31.0"),
        "set vllm_version: 0.31.0+rocm723, vllm_extra_index_urls: ['https://wheels.vllm.ai/rocm/0.31.0/rocm723'] and vllm_python: '3.12'",
        on(service()),
    ),
    # Of the default version no wheels are known.
    example("release-is-for-the-gpus", one(service(), facts=amd_facts()), "set vllm_version: 0.31.0+rocm723 (of newer ones no wheels", on(service())),
    example("release-is-for-the-gpus", one(small(), facts=amd_facts("mi210"), vllm_version="0.20.0", vllm_python="3.12"), "0.20.0+rocm721", one(
        small(), facts=amd_facts("mi210"), vllm_python="3.12", vllm_version="0.20.0+rocm721", vllm_extra_index_urls=[INDEX.format("0.20.0", "rocm721")],
    )),
    example(
        "release-is-for-the-gpus",
        one(small(), facts=host_facts(gpus=gpus(2)), **ROCM),
        "set vllm_version: 0.31.0",
        one(small(), facts=host_facts(gpus=gpus(2)), **{**ROCM, "vllm_version": "0.31.0"}),
    ),
    example("release-is-for-the-gpus", on(small(), vllm_torch_backend="rocm6.4"), "remove it", on(small())),
    example("rocm-wheels-have-an-index", one(small(), facts=amd_facts(), **WITHOUT_CHECK), "set vllm_extra_index_urls: ['https://wheels.vllm.ai/rocm/0.31", on(small())),
    example("rocm-wheels", on(small(), vllm_version="0.31.0+rocm700"), "set vllm_version: 0.31.0+rocm723", on(small())),
    example("rocm-wheels", on(small(), vllm_version="0.32.0+rocm723"), "set vllm_version: 0.31.0+rocm723", on(small())),
    example("rocm-wheels", on(small(), facts=amd_facts(python="3.11.2"), vllm_python="/usr/bin/python3"), "set vllm_python: '3.12'", on(
        small(), facts=amd_facts(python="3.11.2"),
    )),
    example("rocm-wheels", on(small(), facts=amd_facts(architecture="aarch64")), "serve on a host with x86_64", on(small()), on_host=("architecture",)),
    example("rocm-wheels", on(small(), facts=amd_facts(glibc="2.35")), "a newer distribution (Ubuntu 24.04)", on(small()), on_host=("glibc",)),
    example(
        "rocm-wheels",
        on(small(), facts=amd_facts(os={"id": "debian", "version_id": "13", "like": []}, glibc="2.41")),
        "serve on Ubuntu 24.04",
        on(small(), facts=amd_facts(glibc="2.41")),
        on_host=("os",),
    ),
    example("rocm-version", on(small(), facts=amd_of(rocm_version="6.2.0")), "install ROCm 7.2 from AMD's repository", on(small()), on_host=("amd",)),
    example("rocm-version", on(small(), facts=amd_of(rocm_version="10.1")), "install ROCm 7.2", on(small(), facts=amd_of(rocm_version="7.13")), on_host=("amd",)),
    example("rocm-version", on(small(), facts=amd_of(rocm_version="")), "install ROCm 7.2", on(small()), on_host=("amd",)),
    example("engine-has-a-build-for-rocm", on({**TRANSFORMERS, "engine": "transformers"}), "write engine: vllm", on({**TRANSFORMERS, "engine": "vllm"})),
    example(
        "gpus-are-of-one-vendor",
        on(small(), facts=amd_facts(gpus=gpus(1))),
        "keep GPUs of one vendor in a host",
        on(small(), facts=amd_facts()),
        on_host=("gpus",),
    ),
    example(
        "gpus-are-of-one-vendor",
        one(small(), plan_gpus=[{"name": "MI300X"}, {"name": "NVIDIA H100"}], **ROCM),
        "in plan_gpus state those of one vendor",
        one(small(), plan_gpus=[{"name": "MI300X"}, {"name": "MI300X"}], **ROCM),
    ),
    example(
        "nodes-have-gpus-of-one-vendor",
        spread(BIG, amd_facts(amd={"gpus": []}, gpus=gpus(8)), **ONE_EACH),
        "put GPUs of one vendor into its hosts",
        spread(BIG, **ONE_EACH),
        on_host=("amd", "gpus"),
    ),
    example("rocm-multi-node", spread(BIG), "remove distributed", spread(ALONE)),
    example("rocm-multi-node", spread(BIG), "accept it as rocm-multi-node", spread(BIG, **ONE_EACH)),
    example("rocm-target", on(small(), facts=amd_of(gpus=STRANGE)), "name others in gpus: [1]", on(small(gpus=[1]), facts=amd_of(gpus=STRANGE))),
    example(
        "rocm-target",
        one(small(), plan_gpus=[{"name": "AMD Radeon Graphics", "memory_bytes": 64 * 10**9}], **ROCM),
        "state it in plan_gpus: [{index: 0, gfx: gfx942}]",
        one(small(), plan_gpus=[{"name": "AMD Radeon Graphics", "memory_bytes": 64 * 10**9, "gfx": "gfx1151"}], **ROCM),
    ),
    example("rocm-partition", on(small(), facts=amd_facts("mi300x-cpx")), "amd-smi set --compute-partition SPX", on(small()), on_host=("amd",)),
    example("rocm-order", on(small(model="qwen3-32b"), facts=amd_of(gpus=REVERSED)), "leave gpus out", on(
        small(model="qwen3-32b", gpus=...), facts=amd_of(gpus=REVERSED),
    )),
    example("gpu-devices-may-be-opened", on(small(), facts=amd_of(closed_devices=["/dev/kfd"])), 'GROUP="render"', on(small()), on_host=("amd",)),
    example("rocm-kernels", on(with_args(attention_backend="FLASHINFER")), "remove it: vLLM chooses", on(small())),
    example("rocm-kernels", on(with_args(attention_backend="ROCM_AITER_FA"), facts=amd_facts("mi210")), "remove it: vLLM chooses", on(
        small(), facts=amd_facts("mi210"),
    )),
    example("rocm-kernels", on(with_args(kv_cache_dtype="nvfp4")), "write fp8, or remove it", on(with_args(kv_cache_dtype="fp8"))),
    example(
        "rocm-kernels",
        one(service(model="deepseek-v3.2", gpus=list(range(8)), vllm_args={"max_model_len": 32768}), plan_gpus=[
            {"name": "Radeon", "gfx": "gfx1201", "memory_bytes": 288 * 10**9},
        ] * 8, **ROCM),
        "serve it on such a GPU",
        one(service(model="deepseek-v3.2", gpus=list(range(8)), vllm_args={"max_model_len": 32768}), plan_gpus=[
            {"name": "Radeon", "gfx": "gfx950", "memory_bytes": 288 * 10**9},
        ] * 8, **ROCM),
    ),
    example("rocm-quantization", on(small(model="gemma-4-31b-it-nvfp4")), "serve the model in FP8, MXFP4 or BF16", on(small(model="gemma-4-31b-it"))),
    example("rocm-quantization", on(small(model="qwen3-8b-fp8"), facts=amd_facts("mi210")), "a model with another quantisation", on(
        small(model="qwen3-8b"), facts=amd_facts("mi210"),
    )),
    example("rocm-quantization", on(small(model="gpt-oss-20b")), "vLLM computes in 16 bits", on(small(model="gpt-oss-20b"), facts=amd_facts("mi355x")), on_host=("amd",)),
    example("driver-of-amd-is-not-installed", on(small(), cuda_driver_install=True), "set cuda_driver_install: false", on(small(), cuda_driver_install=False)),
    example("amd-smi", on(small(), facts=amd_of(warnings=["amd-smi failed with status 1"], source="kfd")), "values may be missing", on(small()), on_host=("amd",)),
    example("rocm", on(small()), "no run on AMD GPUs has tested this collection", accepting(on(small()), rocm="tried in May")),
]
