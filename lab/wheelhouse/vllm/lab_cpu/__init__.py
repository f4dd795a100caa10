# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lets vLLM's CPU build run over several hosts in the lab, on Ray too (on GPUs vLLM does so by itself), and start its processes faster."""

from __future__ import annotations

import os


def register() -> str | None:
    """The platform's class for vLLM, which asks here when it looks for its platform. Without one of the variables the CPU platform stays as it is."""
    # Named and not imported: what they are made of asks for the platform in turn.
    if os.environ.get("LAB_NO_NUMA"):
        return "lab_cpu.platform.NoNumaCpuPlatform"
    if os.environ.get("LAB_CPU_OVER_HOSTS"):
        return "lab_cpu.platform.LabCpuPlatform"
    return "lab_cpu.platform.ForkingCpuPlatform" if os.environ.get("LAB_FORK") else None
