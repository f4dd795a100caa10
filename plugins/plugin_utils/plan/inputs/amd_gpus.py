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


def counted(gpus: tuple[Gpu, ...], table: Rocm) -> tuple[Gpu, ...]:
    """The GPUs without those of AMD that vLLM has no kernels for, beside others: graphics units inside a CPU."""
    others = [gpu for gpu in gpus if not gpu.is_amd or gpu.gfx in table.gfx]
    return tuple(others) if any(not gpu.is_amd for gpu in others) else gpus
