# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts: ports, firewall, GPUs, drivers, CUDA, kernel."""

from __future__ import annotations

from typing import Any

from example_builders import args, example, one
from plan_builders import gpus, host_facts, service

NGINX = host_facts(listeners=[{"port": 8001, "address": "0.0.0.0", "pid": 7, "unit": "nginx.service"}])
T4 = {"name": "Tesla T4", "memory_bytes": 15360 * 2**20, "compute_capability": "7.5"}


def small(**keys: Any) -> dict[str, Any]:
    """A service of a small model on one GPU."""
    return service(**{"model": "qwen3-0.6b", "gpus": [0], **keys})


def firewall(**keys: Any) -> dict[str, Any]:
    """Facts of a host's firewall."""
    return host_facts(firewall={"ssh_ports": [22], **keys})


def kernel(**keys: Any) -> dict[str, Any]:
    """Facts of a host's kernel."""
    return host_facts(kernel={"sysctl": {}, "files": {}, "modules": [], **keys})


NO_SUCH = {"value": None, "exists": False, "absence": "", "near": ["vm.swappiness"], "conflicts": []}
THERE = {"value": "60", "exists": True, "absence": "", "near": [], "conflicts": []}

RUNS = {"unit": "vllm-qwen.service", "service": "qwen", "active": "active", "enabled": "enabled", "port": 8001, "gpus": [0]}

EXAMPLES = [
    example(
        "ports-are-unique", one(service(gpus=[0]), service(name="b", gpus=[1])), "its own port", one(service(gpus=[0]), service(name="b", gpus=[1], port=8002))
    ),
    example(
        "ports-are-not-ssh",
        one(service(port=2222), facts=firewall(ssh_ports=[2222])),
        "choose another port from 1024 to 65535",
        one(service(port=8001), facts=firewall(ssh_ports=[2222])),
    ),
    example("ports-are-unprivileged", one(service(port=443)), "choose a port from 1024 to 65535", one(service(port=8443))),
    example("ports-are-free", one(service(), facts=NGINX), "choose another port", one(service(port=8002), facts=NGINX)),
    example("ports-are-free", one(service(), facts=NGINX), "stop what listens there", one(service(), facts=host_facts()), on_host=("listeners",)),
    example("address-is-not-loopback", one(service(host="127.0.0.1")), "listens on 127.0.0.1", one(service(host="0.0.0.0"))),
    example(
        "no-other-firewall-manager-is-active",
        one(service(), facts=firewall(others=["firewalld is active"])),
        "firewall_enabled: false",
        one(service(), facts=firewall(others=["firewalld is active"]), firewall_enabled=False),
    ),
    example("allowed-sources-are-set", one(service(), firewall_ssh_sources=[]), "write [any]", one(service(), firewall_ssh_sources=["any"])),
    example(
        "allowed-sources-are-set",
        one(service(), firewall_api_sources=[]),
        "name the allowed networks, like [10.0.0.0/8]",
        one(service(), firewall_api_sources=["10.0.0.0/8"]),
    ),
    example(
        "controller-is-an-allowed-source",
        one(service(), firewall_ssh_sources=["10.0.0.0/8"], facts=firewall(connection={"client": "192.0.2.7"})),
        "add 192.0.2.7",
        one(service(), firewall_ssh_sources=["10.0.0.0/8", "192.0.2.7"], facts=firewall(connection={"client": "192.0.2.7"})),
    ),
    example(
        "public-access",
        one(service(), firewall_api_sources=["any"]),
        "give the service an api_key",
        one(service(api_key="sk-0123456789abcdef"), firewall_api_sources=["any"]),
    ),
    example(
        "published-ports",
        one(service(), facts=firewall(published=[8001])),
        "publish the container on another port",
        one(service(), facts=firewall()),
        on_host=("firewall",),
    ),
    example(
        "last-firewall-change-was-confirmed",
        one(service(), facts=firewall(returned="2026-01-01")),
        "this run tries it again",
        one(service(), facts=firewall()),
        on_host=("firewall",),
    ),
    example(
        "gpus-are-detected",
        one(service(), facts=host_facts(gpus=[])),
        "state the GPUs in plan_gpus (and let the role install the driver with cuda_driver_install)",
        one(service(), plan_gpus=gpus(), cuda_driver_install=True, facts=host_facts(gpus=[])),
    ),
    example("gpus-are-detected", one(service(), facts=host_facts(gpus=[])), "install the driver first", one(service(), facts=host_facts()), on_host=("gpus",)),
    example("gpus-exist", one(service(gpus=[0, 4]), facts=host_facts()), "choose among 0, 1, 2, 3", one(service(gpus=[0, 3]), facts=host_facts())),
    example(
        "gpus-are-assigned-once",
        one(service(gpus=[0, 1]), service(name="b", port=8002, gpus=[1, 2])),
        "its own gpus",
        one(service(gpus=[0, 1]), service(name="b", port=8002, gpus=[2, 3])),
    ),
    example(
        "gpus-are-assigned-once",
        one(small(), small(name="b", port=8002)),
        "set gpu_memory_utilization in the vllm_args of each, 1 at most in total",
        one(small(vllm_args={"gpu_memory_utilization": 0.4}), small(name="b", port=8002, vllm_args={"gpu_memory_utilization": 0.4})),
        costs="start them one after the other",
    ),
    example("parallel-sizes-fit-the-gpus", one(args(tensor_parallel_size=0)), "write 1 or more", one(args(tensor_parallel_size=4))),
    example(
        "parallel-sizes-fit-the-gpus",
        one(service(gpus=[0, 1], model="qwen3-235b-a22b", vllm_args={"tensor_parallel_size": 4})),
        "give it more GPUs",
        one(service(gpus=[0, 1, 2, 3], model="qwen3-235b-a22b", vllm_args={"tensor_parallel_size": 4})),
    ),
    example(
        "driver",
        one(small(), plan_gpus=gpus(1, driver_version="550.1")),
        "install driver 580 or newer",
        one(small(), plan_gpus=gpus(1, driver_version="550.1"), cuda_driver_install=True),
    ),
    example(
        "driver",
        one(small(), plan_gpus=gpus(1, driver_version="550.1")),
        "vllm_torch_backend",
        one(small(), plan_gpus=gpus(1, driver_version="550.1"), vllm_torch_backend="cu129"),
        costs="gets no CUDA compiler",
    ),
    example(
        "cuda",
        one(small(), plan_gpus=gpus(1, compute_capability="12.0"), vllm_torch_backend="cu126", cuda_source="none"),
        "choose a build for CUDA 12.8 or newer: vllm_torch_backend",
        one(small(), plan_gpus=gpus(1, compute_capability="12.0"), vllm_torch_backend="cu128", cuda_source="none"),
    ),
    example(
        "compute-capability",
        one(small(vllm_args={"dtype": "bfloat16", "max_model_len": 8192}), plan_gpus=gpus(1, **T4)),
        "write dtype: half",
        one(small(vllm_args={"dtype": "half", "max_model_len": 8192}), plan_gpus=gpus(1, **T4)),
    ),
    example(
        "cuda-toolkit-is-available",
        one(small(vllm_version="0.31.1"), cuda_source="packages", cuda_apt_repository="https://cuda.example", cuda_apt_key="/srv/key"),
        "vllm_torch_backend: cu130",
        one(
            small(vllm_version="0.31.1"),
            cuda_source="packages",
            cuda_apt_repository="https://cuda.example",
            cuda_apt_key="/srv/key",
            vllm_torch_backend="cu130",
        ),
    ),
    example("cuda-compiler", one(small(), cuda_source="none", plan_accept={}), "cuda_source is none", one(small(), cuda_source="wheels", plan_accept={})),
    example(
        "cuda-architectures-are-supported",
        one(small(), plan_gpus=1, facts=host_facts(gpus=[])),
        "name compute capabilities here or in plan_gpus, like ['9.0']",
        one(small(), plan_gpus=1, facts=host_facts(gpus=[]), cuda_architectures=["9.0"]),
    ),
    example("path-lists-have-no-empty-elements", one(small(environment={"PATH": ":/usr/bin"})), "remove the extra ':'", one(small(environment={"PATH": "/usr/bin"}))),
    example(
        "fabric-manager",
        one(small(), facts=host_facts(gpus=gpus(), nvswitches=4)),
        "install Fabric Manager 580.65.06",
        one(small(), facts=host_facts(gpus=gpus(), nvswitches=4, fabric_manager="580.65.06")),
        on_host=("fabric_manager",),
    ),
    example(
        "parameters-exist",
        one(small(), kernel_sysctl={"vm.swapines": 1}, facts=kernel(sysctl={"vm.swapines": NO_SUCH})),
        "did you mean vm.swappiness?",
        one(small(), kernel_sysctl={"vm.swappiness": 1}, facts=kernel(sysctl={"vm.swappiness": THERE})),
        on_host=("kernel",),
    ),
    example(
        "files-are-managed",
        one(small(), facts=kernel(unmanaged_files=["/etc/sysctl.d/90-inferops.conf", "/etc/security/limits.d/90-inferops.conf"])),
        "move the file away, or set kernel_enabled: false",
        one(small(), facts=kernel(unmanaged_files=["/etc/security/limits.d/90-inferops.conf"])),
        on_host=("kernel",),
    ),
    example(
        "governor-is-there",
        one(small(), kernel_cpu_governor="performence", facts=kernel(available_governors=["performance", "powersave"])),
        "did you mean performance?",
        one(small(), kernel_cpu_governor="performance", facts=kernel(available_governors=["performance", "powersave"])),
    ),
    example(
        "buckets-are-enough",
        one(small(), kernel_conntrack_buckets=1024),
        "kernel_conntrack_buckets: 1024 buckets",
        one(small(), kernel_conntrack_buckets=1048576),
    ),
    example(
        "blue-green",
        one(small(), model_service_update_strategy="blue_green", facts=host_facts(gpus=gpus(1), services=[RUNS])),
        "set model_service_update_strategy: recreate",
        one(small(), model_service_update_strategy="recreate", facts=host_facts(gpus=gpus(1), services=[RUNS])),
    ),
]
