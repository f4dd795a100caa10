# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CUDA a vLLM brings, and what drivers and GPUs that takes, from C(platforms.yml)."""

from __future__ import annotations

import re

from typing import Any, Mapping

from .versions import Version

Numbers = tuple[int, ...]

_BACKEND = re.compile(r"cu(\d{2,3})(\d)")


class Platforms:
    """The table. Version numbers are compared number by number: 525.60.13 is above 525.60."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._cuda = {text: numbers(cuda) for text, cuda in data["cuda_of_vllm"].items()}
        self._drivers = [(numbers(row["cuda"]), str(row["driver"])) for row in data["drivers"]]
        self._cuda_of_capability = [(numbers(row["capability"]), numbers(row["cuda"])) for row in data["cuda_of_capability"]]
        self._least_capability = {quantization: numbers(least) for quantization, least in data["least_capability"].items()}
        self.fp8_arithmetic = numbers(data["fp8_arithmetic"])
        self.bf16_arithmetic = numbers(data["bf16_arithmetic"])

    def cuda(self, version: Version, backend: str) -> Numbers:
        """CUDA of a vLLM install: that of its build's local part, of the torch backend, or of the version's own; empty when not known."""
        named = self.named_cuda(version, backend)
        return named or (self._cuda.get(version.public, ()) if not version.local and backend in ("", "auto") else ())

    @staticmethod
    def named_cuda(version: Version, backend: str) -> Numbers:
        """CUDA that a build's local part or the torch backend names; empty when neither does."""
        for named in (version.local, backend):
            match = _BACKEND.fullmatch(named)
            if match:
                return int(match[1]), int(match[2])
        return ()

    def driver(self, cuda: Numbers) -> str:
        """The oldest driver for a CUDA; empty when not known."""
        return next((driver for since, driver in self._drivers if cuda >= since), "")

    def least_cuda(self, capability: Numbers) -> Numbers:
        """The oldest CUDA for a compute capability; empty when any will do."""
        return next((cuda for since, cuda in self._cuda_of_capability if capability >= since), ())

    def least_capability(self, quantization: str) -> Numbers:
        """The least compute capability for weights of a quantisation; empty when not known."""
        return self._least_capability.get(quantization, ())


def numbers(text: Any) -> Numbers:
    """The numbers of 580.65.06 or 9.0; empty when the text is something else."""
    parts = str(text).strip().split(".")
    return tuple(int(part) for part in parts) if all(part.isascii() and part.isdigit() and len(part) < 9 for part in parts) else ()


def written(read: Numbers) -> str:
    """The numbers as people write them."""
    return ".".join(str(number) for number in read)
