# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""vLLM's platform for CPUs: as one whose processes are forked, and as one that Ray counts as a GPU (C(ray start --num-gpus))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vllm.platforms.cpu import CpuPlatform

from lab_cpu import idle, no_numa

if TYPE_CHECKING:
    from vllm.config import VllmConfig


class ForkingCpuPlatform(CpuPlatform):
    """vLLM's platform for CPUs, which with C(LAB_FORK) forks its processes, as vLLM's own default is for engines without a server.

    On CPUs vLLM spawns them: each imports vLLM again, 33 of the 56 seconds of a processor that an engine's start costs.
    """

    @classmethod
    def check_and_update_config(cls, vllm_config: VllmConfig) -> None:
        super().check_and_update_config(vllm_config)
        # Processes that are forked from this one inherit it; others come by import_kernels.
        idle.patch(load=True)
        if os.environ.get("LAB_FORK"):
            os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"

    @classmethod
    def import_kernels(cls) -> None:
        # Each process of vLLM comes by here before its worker begins.
        super().import_kernels()
        idle.patch()


class NoNumaCpuPlatform(ForkingCpuPlatform):
    """On a kernel without NUMA."""

    @classmethod
    def check_and_update_config(cls, vllm_config: VllmConfig) -> None:
        super().check_and_update_config(vllm_config)
        no_numa.patch()

    @classmethod
    def import_kernels(cls) -> None:
        super().import_kernels()
        no_numa.patch()


class LabCpuPlatform(ForkingCpuPlatform):
    """With what vLLM's platforms for GPUs have to say to Ray, too."""

    ray_device_key = "GPU"

    @classmethod
    def get_device_communicator_cls(cls) -> str:
        return "lab_cpu.communicator.LabCpuCommunicator"

    @classmethod
    def check_and_update_config(cls, vllm_config: VllmConfig) -> None:
        super().check_and_update_config(vllm_config)
        if vllm_config.parallel_config.worker_cls == "vllm.v1.worker.cpu_worker.CPUWorker":
            vllm_config.parallel_config.worker_cls = "lab_cpu.worker.LabCpuWorker"
