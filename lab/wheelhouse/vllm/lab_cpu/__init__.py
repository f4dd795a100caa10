# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lets vLLM's CPU build run over several hosts in the lab, on Ray too. On GPUs vLLM does so by itself."""

from __future__ import annotations

import os


def register() -> str | None:
    """The platform's class for vLLM, which asks here when it looks for its platform. Without the variable the CPU platform stays as it is."""
    # Named and not imported: what it is made of asks for the platform in turn.
    return "lab_cpu.platform.LabCpuPlatform" if os.environ.get("LAB_CPU_OVER_HOSTS") else None
