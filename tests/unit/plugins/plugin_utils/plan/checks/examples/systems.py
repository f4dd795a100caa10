# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host is and has: its system, Python, wheels, mounts and GPUs. Much of it is put right on the host, and then its facts are others."""

from __future__ import annotations

from typing import Any

from example_builders import accepting, example, one
from plan_builders import gpus, host_facts, service

GB = 10**9
SLICE, OTHER = "MIG-377e0049-554c-540b-93c6-d0976f8426cb", "MIG-c7384736-a75d-5afc-978f-d2f1294409fd"
JAMMY = {"os": {"id": "ubuntu", "version_id": "22.04", "like": ["debian"]}, "python": "3.10.12", "architecture": "x86_64", "systemd": True}
TRIXIE = {"os": {"id": "debian", "version_id": "13", "like": []}, "python": "3.13.5", "architecture": "x86_64", "systemd": True}
GB10 = {"name": "NVIDIA GB10", "memory_bytes": None, "compute_capability": "12.1", "driver_version": "580.126.09"}
A_WHEEL = "vllm-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl"
WHEELHOUSE = {"vllm_no_index": True, "vllm_find_links": ["/srv/wheels"]}


def small(**keys: Any) -> dict[str, Any]:
    """A small model on one GPU."""
    return service(**{"model": "qwen3-8b", "gpus": [0], "vllm_args": {"max_model_len": 8192}, **keys})


def host(**keys: Any) -> dict[str, Any]:
    """Facts of a host with two H100."""
    return host_facts(**{"gpus": gpus(2), **keys})


def system(name: str, version: str, systemd: bool = True, like: str = "") -> dict[str, Any]:
    """Facts of a host with this system."""
    return host(os={"id": name, "version_id": version, "like": like.split()}, systemd=systemd)


def mounted(*options: str, place: str = "/opt") -> dict[str, Any]:
    """Facts of a host with something mounted there in this way, and room elsewhere."""
    room = [{"mount": mount, "free_bytes": 1000 * GB, "options": ["rw"]} for mount in ("/", "/data")]
    return host(mounts=[*room, {"mount": place, "free_bytes": 100 * GB, "options": list(options)}])


def wheels(*names: str) -> dict[str, Any]:
    """Facts of a host with Debian 13 that has these beside vLLM's own wheel."""
    return host(**TRIXIE, wheels={"/srv/wheels": [*names, A_WHEEL]})


def cards(error: str = "") -> dict[str, Any]:
    """Facts of a host whose second GPU says this of itself."""
    found = gpus(2)
    return host_facts(gpus=[found[0], {**found[1], "error": error}])


def split(yes: bool = True) -> dict[str, Any]:
    """Facts of a host whose second GPU MIG splits, or does not."""
    found = gpus(2)
    if yes:
        parts = [{"uuid": uuid, "profile": "3g.40gb", "memory_bytes": 40448 * 2**20} for uuid in (SLICE, OTHER)]
        found[1].update(split=True, slices=parts)
    return host_facts(gpus=found)


def sparse(capability: str) -> dict[str, Any]:
    """Facts of a host with eight large GPUs."""
    return host_facts(gpus=gpus(8, name="a card", memory_bytes=288 * GB, compute_capability=capability), mounts=[{"mount": "/", "free_bytes": 10**13}])


V32: dict[str, Any] = {"model": "deepseek-v3.2", "gpus": list(range(8)), "vllm_args": {"max_model_len": 32768}}

EXAMPLES = [
    example("system", one(small(), facts=system("ubuntu", "28.04")), "serve on one of these", one(small(), facts=system("ubuntu", "26.04")), on_host=("os",)),
    example(
        "system",
        one(small(), facts=system("ubuntu", "28.04")),
        "as system in plan_accept",
        accepting(one(small(), facts=system("ubuntu", "28.04")), system="tried"),
    ),
    example(
        "system-has-apt-and-systemd",
        one(small(), facts=system("rocky", "9.4", like="rhel")),
        "serve on Debian or Ubuntu",
        one(small(), facts=system("debian", "13")),
        on_host=("os",),
    ),
    example(
        "system-has-apt-and-systemd",
        one(small(), facts=system("debian", "12", systemd=False)),
        "boot the host with systemd",
        one(small(), facts=system("debian", "12")),
        on_host=("systemd",),
    ),
    example("python", one(small(), facts=host(**JAMMY)), "vllm_python: '3.12'", one(small(), facts=host(**JAMMY), vllm_python="3.12")),
    example(
        "python",
        one(small(), facts=host(**JAMMY)),
        "write vllm_python: /usr/bin/python3.11",
        one(small(), facts=host(**JAMMY), vllm_python="/usr/bin/python3.11"),
    ),
    example("python", one(small(), facts=host(**JAMMY)), "vllm_version: 0.31.0", one(small(), facts=host(**JAMMY), vllm_version="0.31.0")),
    example(
        "python-is-available",
        one(small(), facts=host(**TRIXIE, pythons={"/usr/bin/python3": "3.13", "/opt/py/bin/python": ""}), vllm_python="/opt/py/bin/python"),
        "install it",
        one(small(), facts=host(**TRIXIE, pythons={"/usr/bin/python3": "3.13", "/opt/py/bin/python": "3.12"}), vllm_python="/opt/py/bin/python"),
        on_host=("pythons",),
    ),
    example(
        "python-is-available",
        one(small(), facts=host(**TRIXIE, pythons={"/usr/bin/python3": "3.13", "/opt/py/bin/python": ""}), vllm_python="/opt/py/bin/python"),
        "name an installed one (/usr/bin/python3)",
        one(small(), facts=host(**TRIXIE, pythons={"/usr/bin/python3": "3.13", "/opt/py/bin/python": ""}), vllm_python="/usr/bin/python3"),
    ),
    example(
        "architecture",
        one(small(), facts=host(architecture="aarch64"), vllm_version="0.10.1.1"),
        "set vllm_version to 0.10.2 or newer",
        one(small(), facts=host(architecture="aarch64"), vllm_version="0.10.2"),
    ),
    example(
        "wheelhouse-has-wheels-for-the-host",
        one(small(), facts=wheels("torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl"), **WHEELHOUSE),
        "fill it on a host with the same distribution",
        one(small(), facts=wheels("torch-2.13.0-cp313-cp313-manylinux_2_28_x86_64.whl"), **WHEELHOUSE),
        on_host=("wheels",),
    ),
    example(
        "mounts-are-writable",
        one(small(), facts=mounted("ro")),
        "mount /opt read-write",
        one(small(), facts=mounted("rw")),
        on_host=("mounts",),
    ),
    example(
        "mounts-are-writable",
        one(small(), facts=mounted("ro", place="/var/lib/inferops/models")),
        "or set weights_dir to another file system",
        one(small(), facts=mounted("ro", place="/var/lib/inferops/models"), weights_dir="/data/models"),
    ),
    example(
        "noexec",
        one(small(), facts=mounted("rw", "noexec", place="/var")),
        "mount /var without noexec",
        one(small(), facts=mounted("rw", place="/var")),
        on_host=("mounts",),
    ),
    example(
        "noexec",
        one(small(), facts=mounted("rw", "noexec", place="/var")),
        "or set host_cache_dir to another file system",
        one(small(), facts=mounted("rw", "noexec", place="/var"), host_cache_dir="/data/cache"),
    ),
    example(
        "gpus-are-healthy",
        one(small(gpus=[1]), facts=cards("pstate [GPU requires reset]")),
        "--gpu-reset -i 1",
        one(small(gpus=[1]), facts=cards()),
        on_host=("gpus",),
    ),
    example(
        "gpus-are-healthy",
        one(small(gpus=[1]), facts=cards("pstate [GPU is lost]")),
        "choose other GPUs with gpus (working: 0)",
        one(small(gpus=[0]), facts=cards("pstate [GPU is lost]")),
    ),
    example(
        "mig-gpus-are-named-by-slice",
        one(small(gpus=[1]), facts=split()),
        f"name one slice: gpus: [{SLICE}]",
        one(small(gpus=[SLICE]), facts=split()),
    ),
    example(
        "mig-gpus-are-named-by-slice",
        one(small(gpus=[1]), facts=split()),
        "turn MIG off: nvidia-smi -i 1 -mig 0",
        one(small(gpus=[1]), facts=split(False)),
        on_host=("gpus",),
    ),
    example(
        "mig-gpus-are-named-by-slice",
        one(small(gpus=[SLICE, OTHER]), facts=split()),
        f"name one slice: gpus: [{SLICE}]",
        one(small(gpus=[SLICE]), facts=split()),
    ),
    example(
        "gpu-memory",
        one(small(), facts=host_facts(gpus=gpus(1, **GB10))),
        "state it in plan_gpus: [{index: 0, memory_bytes: …}]",
        one(small(), facts=host_facts(gpus=gpus(1, **GB10)), plan_gpus=[{"index": 0, "memory_bytes": 128 * GB}]),
    ),
    example("kernels", one(service(**V32), facts=sparse("8.0")), "serve it on such a GPU", one(service(**V32), facts=sparse("10.0")), on_host=("gpus",)),
    example("kernels", one(service(**V32), facts=sparse("12.0"), vllm_version="0.24.0"), "set vllm_version to 0.25.0 or newer", one(
        service(**V32), facts=sparse("12.0"), vllm_version="0.25.0",
    )),
    example(
        "compute-capability",
        one(small(model="nemotron-3-nano-30b-a3b-fp8"), facts=host(gpus=gpus(1, name="NVIDIA A100", compute_capability="8.0")), vllm_version="0.26.0"),
        "set vllm_version to 0.27.0 or newer",
        one(small(model="nemotron-3-nano-30b-a3b-fp8"), facts=host(gpus=gpus(1, name="NVIDIA A100", compute_capability="8.0")), vllm_version="0.27.0"),
        costs="computes in 16 bits",
    ),
    example(
        "kernels",
        one(small(vllm_args={"max_model_len": 8192, "attention_backend": "CUTLASS_MLA"}), facts=host()),
        "remove it: vLLM chooses a backend",
        one(small(), facts=host()),
    ),
]
