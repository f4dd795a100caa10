# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AMD GPUs of a host: what a stated name says about them, and which of them count."""

from __future__ import annotations

import re

from dataclasses import replace
from typing import Iterable

from ..vllm.rocm import Rocm
from .facts import AMD, Gpu

# Words of names that only AMD's GPUs have.
_AMD_NAMES = re.compile(r"\b(?:AMD|Instinct|Radeon)\b", re.IGNORECASE)


def recognised(gpus: Iterable[Gpu], table: Rocm) -> tuple[Gpu, ...]:
    """Stated GPUs, with the target and the memory of those that have the name of an AMD GPU."""
    return tuple(_recognised(gpu, table) for gpu in gpus)


def _recognised(gpu: Gpu, table: Rocm) -> Gpu:
    model = table.model(gpu.name) if gpu.name and not gpu.compute_capability else None
    if model is not None:
        return replace(gpu, vendor=AMD, gfx=gpu.gfx or model.gfx, memory_bytes=gpu.memory_bytes or model.memory_bytes)
    return replace(gpu, vendor=AMD) if _AMD_NAMES.search(gpu.name) else gpu


def counted(gpus: tuple[Gpu, ...], table: Rocm, stated: tuple[Gpu, ...] | None = None, driver: bool = False) -> tuple[Gpu, ...]:
    """The GPUs of the facts without those of AMD that vLLM has no kernels for where the host has GPUs of NVIDIA: graphics units inside a CPU.

    :param stated: the GPUs that the user states. Those of NVIDIA are missing in the facts before their driver is installed
    :param driver: whether the role cuda installs NVIDIA's driver, so that stated GPUs without a name are NVIDIA's
    """
    others = tuple(gpu for gpu in gpus if not gpu.is_amd or gpu.gfx in table.gfx)
    theirs = any(not gpu.is_amd and (driver or gpu.name or gpu.compute_capability) for gpu in stated or ())
    return others if theirs or any(not gpu.is_amd for gpu in others) else gpus


def usable(gpus: Iterable[Gpu], table: Rocm) -> tuple[Gpu, ...]:
    """The GPUs for a service that names none: those that vLLM has no kernels for are left out beside AMD GPUs that it has kernels for."""
    known = tuple(gpus)
    if not any(gpu.is_amd and gpu.gfx in table.gfx for gpu in known):
        return known
    return tuple(gpu for gpu in known if not gpu.is_amd or not gpu.gfx or gpu.gfx in table.gfx)
