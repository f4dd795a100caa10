# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A CPU that Ray counts as a GPU (C(ray start --num-gpus))."""

from __future__ import annotations

from vllm.platforms.cpu import CpuPlatform


class LabCpuPlatform(CpuPlatform):
    """vLLM's platform for CPUs, with what its platforms for GPUs have to say to Ray."""

    ray_device_key = "GPU"

    @classmethod
    def get_device_communicator_cls(cls) -> str:
        return "lab_cpu.communicator.LabCpuCommunicator"
