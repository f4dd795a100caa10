# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CUDA version of each vLLM, and the drivers and GPUs for it, from C(platforms.yml)."""

from __future__ import annotations

import functools
import re

from typing import Any, Mapping

from ..versions import Version, parse
from .rocm import Rocm

Numbers = tuple[int, ...]

_BACKEND = re.compile(r"cu(\d{2,3})(\d)")


class Platforms:
    """The table. Version numbers are compared number by number: 525.60.13 is above 525.60."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._cuda = {text: numbers(cuda) for text, cuda in data["cuda_of_vllm"].items()}
        self._drivers = [(numbers(row["cuda"]), str(row["driver"])) for row in data["drivers"]]
        self._cuda_of_capability = [(numbers(row["capability"]), numbers(row["cuda"])) for row in data["cuda_of_capability"]]
        self._least_capability = {quantization: numbers(least) for quantization, least in data["least_capability"].items()}
        self._modelopt = {
            kind: [(numbers(row["since"]), numbers(row["capability"])) for row in rows] for kind, rows in data["least_capability_of_modelopt"].items()
        }
        self.fp8_arithmetic = numbers(data["fp8_arithmetic"])
        self.bf16_arithmetic = numbers(data["bf16_arithmetic"])
        self._oldest_gpu = [(numbers(row["cuda"]), numbers(row["capability"])) for row in data["oldest_gpu"]]
        self._sparse_mla: dict[int, Numbers] = {int(major): numbers(since) for major, since in data["sparse_mla"].items()}
        self.attention_backends: dict[str, tuple[int, ...]] = {name: tuple(majors) for name, majors in data["attention_backends"].items()}
        self._cache_types_of = numbers(data["kv_cache_dtypes_of"])
        self._cache_types: dict[str, dict[str, Any]] = dict(data["kv_cache_dtypes"])
        self._python = [(numbers(row["since"]), _range(row["python"])) for row in data["python_of_vllm"]]
        self._python_until = numbers(data["python_of_vllm_until"])
        self._python_since = [str(row["since"]) for row in data["python_of_vllm"]]
        self.python_of_transformers = _range(data["python_of_transformers"])
        self._architectures = {name: numbers(since) for name, since in data["architecture_of_vllm"].items()}
        self.systems: dict[str, dict[str, tuple[str, ...]]] = {
            system: {str(version): tuple(pythons) for version, pythons in versions.items()} for system, versions in data["systems"].items()
        }
        self.release_bytes: dict[str, int] = dict(data["release_bytes"])
        self.cache_bytes: int = data["cache_bytes"]
        self.rocm = Rocm(data["rocm"])

    def cuda(self, version: Version, backend: str) -> Numbers:
        """CUDA version of a vLLM release: from the version's local part, the torch backend, or the version itself; empty when unknown."""
        named = self.named_cuda(version, backend)
        return named or (self._cuda.get(version.public, ()) if not version.local and backend in ("", "auto") else ())

    @staticmethod
    def named_cuda(version: Version, backend: str) -> Numbers:
        """CUDA version from the version's local part or the torch backend; empty when neither names one."""
        for named in (version.local, backend):
            match = _BACKEND.fullmatch(named)
            if match:
                return int(match[1]), int(match[2])
        return ()

    def driver(self, cuda: Numbers) -> str:
        """The oldest driver for a CUDA version; empty when unknown."""
        return next((driver for since, driver in self._drivers if cuda >= since), "")

    def least_cuda(self, capability: Numbers) -> Numbers:
        """The oldest CUDA version for a compute capability; empty when all support it."""
        return next((cuda for since, cuda in self._cuda_of_capability if capability >= since), ())

    def oldest_gpu(self, cuda: Numbers) -> Numbers:
        """The lowest compute capability that a vLLM with this CUDA version supports; for an unknown CUDA version the lowest of all."""
        return next(capability for since, capability in self._oldest_gpu if (cuda or (0,)) >= since)

    def newest_vllm_below(self, cuda: Numbers) -> str:
        """The newest vLLM whose default CUDA version is older than this one; empty when there is none."""
        older = [text for text, own in self._cuda.items() if own < cuda]
        return max(older, key=numbers, default="")

    def python(self, version: Version) -> tuple[Numbers, Numbers] | None:
        """The Python versions for a vLLM: from the first on, before the second. None when unknown."""
        # The table says nothing about minor versions after its last one.
        if version.release[:2] > self._python_until[:2]:
            return None
        return next((pythons for since, pythons in reversed(self._python) if version.release[:3] >= since), None)

    def newest_vllm_on(self, python: Numbers, below: Version) -> str:
        """The newest vLLM before this one that supports a Python version, with a known CUDA version; empty when there is none."""
        read = [(text, parse(text)) for text in self._cuda]
        fits = [text for text, version in read if version is not None and version < below and within(python, self.python(version))]
        return max(fits, key=numbers, default="")

    def first_vllm_on(self, python: Numbers, above: Version) -> str:
        """The first vLLM after this one that supports a Python version; empty when there is none."""
        read = [(text, parse(text)) for text in self._python_since]
        return next((text for text, version in read if version is not None and version > above and within(python, self.python(version))), "")

    def machines(self, version: Version) -> tuple[str, ...]:
        """The CPU architectures with wheels of a vLLM."""
        return tuple(name for name, since in self._architectures.items() if version.release[:3] >= since)

    def first_vllm_for(self, machine: str) -> str:
        """The first vLLM with wheels for a CPU architecture; empty when there is none."""
        return written(self._architectures.get(machine, ()))

    def cache_kernels(self, cache_type: str, version: Version) -> Mapping[str, Any] | None:
        """The GPUs with kernels for a type of KV cache, by kind of attention (C(heads), C(mla), C(sparse)), see C(suits). None when all GPUs
        support the type, and for versions that are not in the table."""
        return self._cache_types.get(cache_type) if version.release[: len(self._cache_types_of)] == self._cache_types_of else None

    def least_capability(self, quantization: str, version: Version, modelopt: bool = False) -> Numbers:
        """The lowest compute capability for a quantisation of weights, by version for those in ModelOpt's format; empty when unknown."""
        if modelopt and quantization in self._modelopt:
            return next((least for since, least in self._modelopt[quantization] if version.release[:3] >= since), ())
        return self._least_capability.get(quantization, ())

    def modelopt_since(self, quantization: str, capability: Numbers) -> str:
        """The first vLLM that supports weights in ModelOpt's format on a GPU; empty when there is none."""
        return next((written(since) for since, least in reversed(self._modelopt.get(quantization, ())) if capability >= least), "")

    def sparse_mla(self, version: Version) -> tuple[int, ...]:
        """First numbers of the compute capabilities for which a version has sparse attention over MLA."""
        return tuple(major for major, since in self._sparse_mla.items() if version.release[:3] >= since)

    def sparse_mla_since(self, major: int) -> str:
        """The first vLLM with sparse attention over MLA on GPUs of this first number; empty when there is none."""
        return written(self._sparse_mla.get(major, ()))


def suits(capability: Numbers, kernels: Any) -> bool:
    """Whether C(kernels) includes a GPU: it is a minimum compute capability, or a list of major versions."""
    return capability[0] in kernels if isinstance(kernels, (list, tuple)) else capability >= numbers(kernels)


def _range(pair: Any) -> tuple[Numbers, Numbers]:
    return numbers(pair[0]), numbers(pair[1])


def within(python: Numbers, bounds: tuple[Numbers, Numbers] | None) -> bool:
    """Whether a Python version is at least the first bound and before the second."""
    return bounds is not None and bounds[0] <= python[:2] < bounds[1]


def numbers(text: Any) -> Numbers:
    """The numbers of 580.65.06 or 9.0; empty when the text is something else."""
    return _numbers(str(text))


@functools.lru_cache(maxsize=256)
def _numbers(text: str) -> Numbers:
    parts = text.strip().split(".")
    return tuple(int(part) for part in parts) if all(part.isascii() and part.isdigit() and len(part) < 9 for part in parts) else ()


def written(read: Numbers) -> str:
    """The numbers as text, like 580.65."""
    return ".".join(str(number) for number in read)
