# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AMD GPUs: the wheels of vLLM for them, and what its kernels support, from C(rocm) of C(platforms.yml)."""

from __future__ import annotations

import re

from dataclasses import dataclass
from typing import Any, Mapping

from ..versions import Version, parse

Numbers = tuple[int, ...]

_LOCAL = re.compile(r"rocm\d+")


@dataclass(frozen=True)
class Wheels:
    """The wheels for one ROCm: the local part of their versions, and the versions of ROCm and glibc that a host needs at least."""

    since: Version
    variant: str
    rocm: Numbers
    glibc: Numbers


@dataclass(frozen=True)
class Model:
    """A GPU by its name: its LLVM target, and the memory that its driver reports, in bytes; 0 where that depends on the host."""

    name: str
    gfx: str
    memory_bytes: int


class Rocm:
    """The table."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._wheels = [Wheels(_version(row["since"]), row["variant"], _numbers(row["rocm"]), _numbers(row["glibc"])) for row in data["wheels"]]
        self._until = _version(data["wheels_until"])
        self._index = str(data["index"])
        self.python = _numbers(data["python"])
        self.machine = str(data["machine"])
        self.packages: dict[str, dict[str, list[str]]] = {system: dict(versions) for system, versions in data["packages"].items()}
        self.gfx: tuple[str, ...] = tuple(data["gfx"])
        self.fp8: tuple[str, ...] = tuple(data["fp8"])
        self.mx: tuple[str, ...] = tuple(data["mx"])
        self.sparse_mla: tuple[str, ...] = tuple(data["sparse_mla"])
        self.other_backends: tuple[str, ...] = tuple(data["other_backends"])
        self.aiter_backends: tuple[str, ...] = tuple(data["aiter_backends"])
        self.aiter: tuple[str, ...] = tuple(data["aiter"])
        self.other_kv_cache_dtypes: tuple[str, ...] = tuple(data["other_kv_cache_dtypes"])
        models = [Model(name, str(row["gfx"]), int(row.get("memory_mib", 0)) * 2**20) for name, row in data["gpus"].items()]
        # RX7900XTX before RX7900XT, which is in its name.
        self._models = sorted(models, key=lambda model: len(model.name), reverse=True)

    def wheels(self, version: Version) -> Wheels | None:
        """The wheels of a version; None for one without wheels, or of which nothing is known."""
        if version > self._until:
            return None
        return next((row for row in reversed(self._wheels) if version >= row.since), None)

    def named(self, version: Version) -> Wheels | None:
        """The wheels that a version's local part names; None for one that is not in the table."""
        return next((row for row in self._wheels if row.variant == version.local), None)

    def offered(self, version: Version) -> tuple[str, str]:
        """The version with its local part that fits this one, or the newest with wheels, and the address of its index."""
        public = version.public if self.wheels(version) is not None else self._until.public
        known = self.wheels(_version(public))
        variant = known.variant if known is not None else ""
        return f"{public}+{variant}", self._index.format(version=public, variant=variant)

    def index(self, version: Version) -> str:
        """The address of the index for a version with a local part."""
        return self._index.format(version=version.public, variant=version.local)

    def model(self, name: str) -> Model | None:
        """The GPU that a name has, such as that of AMD Instinct MI300X; None for others."""
        words = re.sub(r"[^A-Z0-9]", "", name.upper())
        return next((model for model in self._models if model.name in words), None)


def is_rocm_build(version: Version) -> bool:
    """Whether a version is a build for AMD GPUs."""
    return _LOCAL.fullmatch(version.local) is not None


def _version(text: str) -> Version:
    found = parse(str(text))
    if found is None:
        raise ValueError(f"{text} is not a version")
    return found


def _numbers(text: Any) -> Numbers:
    return tuple(int(part) for part in str(text).split("."))
