# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of a GPU in the engine's output after which no further request succeeds, although the process may go on: the CUDA context is lost.

Texts are those of CUDA 12 and 13 (C(cudaGetErrorString)), torch 2.13, cuBLAS and NCCL 2.27.
"""

from __future__ import annotations

import re

# Out of memory is not among them: the context survives it, and one request alone fails.
_LOST_CONTEXT = re.compile(
    r"CUDA error: (?!out of memory)[^\n]{0,200}|an illegal memory access was encountered|device-side assert triggered|unspecified launch failure|"
    r"uncorrectable (?:NVLink |ECC )?error|misaligned address|illegal instruction was encountered|CUDA-capable device\(s\) is/are busy or unavailable|"
    r"CUBLAS_STATUS_(?:EXECUTION_FAILED|INTERNAL_ERROR)|GPU is lost|"
    r"NCCL WARN (?:Cuda failure|NET/IB : Got completion)[^\n]{0,200}|unhandled (?:cuda|system) error"
)


def read(line: str) -> str:
    """Return the error in a line of the engine's output; empty for other lines."""
    match = _LOST_CONTEXT.search(line)
    return match[0][:200] if match else ""
