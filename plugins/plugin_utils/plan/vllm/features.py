# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that arguments and models need and vLLM does not install.

The plan adds those whose version it knows (roles/plan/files/packages.yml) to the release of the service, and reports the others. From the metadata of
vLLM 0.32.0 and 0.33.0 (its extras are what it does not install), and from the places that import the packages.
"""

from __future__ import annotations

import re

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from ..versions import Version, parse
from . import arguments as args

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# Plugins of vLLM, and the names that they register, by the key that takes them.
NAMES_OF_PACKAGES: dict[str, dict[str, tuple[str, ...]]] = {
    "vllm-gguf-plugin": {"quantization": ("gguf",), "load_format": ("gguf",)},
    "vllm-bnb-plugin": {"quantization": ("bitsandbytes",), "load_format": ("bitsandbytes",)},
}


@dataclass(frozen=True)
class Need:
    """The package of an argument. C(packages): alternatives, the first one for messages. C(instead): a value without the package, or empty.

    C(since) and C(before): the versions of vLLM that need it, empty for all.
    """

    key: str
    needs: Callable[[Mapping[str, Any]], bool]
    packages: tuple[str, ...]
    instead: str = ""
    since: tuple[int, ...] = ()
    before: tuple[int, ...] = ()

    def applies_to(self, version: Version) -> bool:
        """Whether this version of vLLM needs the package."""
        release = version.release
        return release[: len(self.since)] >= self.since and (not self.before or release[: len(self.before)] < self.before)


def _connector(*starts: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda given: str(args.member(given, "kv_transfer_config", "kv_connector") or "").startswith(starts)


def _is(key: str, *starts: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda given: str(given.get(key) or "").startswith(starts)


NEEDS: tuple[Need, ...] = (
    Need("kv_transfer_config", _connector("LMCache"), ("lmcache",), "OffloadingConnector"),
    Need("kv_transfer_config", _connector("Nixl"), ("nixl", "nixl-cu12", "nixl-cu13")),
    Need("kv_transfer_config", _connector("Mooncake"), ("mooncake-transfer-engine", "mooncake-transfer-engine-cuda13")),
    Need("kv_transfer_config", _connector("FlexKV"), ("flexkv",)),
    Need("kv_offloading_backend", _is("kv_offloading_backend", "lmcache"), ("lmcache",), "native"),
    Need("distributed_executor_backend", _is("distributed_executor_backend", "ray"), ("ray",), "mp"),
    Need("data_parallel_backend", _is("data_parallel_backend", "ray"), ("ray",), "mp"),
    Need("load_format", _is("load_format", "runai_streamer"), ("runai-model-streamer",), "auto"),
    Need("load_format", _is("load_format", "tensorizer"), ("tensorizer",), "auto"),
    Need("load_format", _is("load_format", "modelexpress"), ("modelexpress",), "auto"),
    # Both formats have left vLLM for plugins: bitsandbytes in 0.28.0 (vllm-project/vllm pull request 43529), GGUF in 0.24.0 (39612).
    Need("load_format", _is("load_format", "bitsandbytes"), ("bitsandbytes",), "auto", before=(0, 28)),
    Need("load_format", _is("load_format", "bitsandbytes"), ("vllm-bnb-plugin",), "auto", since=(0, 28)),
    Need("load_format", _is("load_format", "gguf"), ("vllm-gguf-plugin",), "auto", since=(0, 24)),
    Need("quantization", _is("quantization", "bitsandbytes"), ("bitsandbytes",), before=(0, 28)),
    Need("quantization", _is("quantization", "bitsandbytes"), ("vllm-bnb-plugin",), since=(0, 28)),
    Need("quantization", _is("quantization", "gguf"), ("vllm-gguf-plugin",), since=(0, 24)),
    Need("model_impl", _is("model_impl", "terratorch"), ("terratorch",)),
)

# Packages of vLLM's extra "audio" from each version on, and prefixes of the class names of models that import them. The first one stands for all.
AUDIO = (
    ((0, 20), ("soundfile", "av", "scipy", "soxr")),
    ((0, 19), ("soundfile", "av", "scipy", "resampy")),
    ((0, 17), ("soundfile", "librosa", "scipy")),
    ((), ("soundfile", "librosa")),
)
HEARING = ("Whisper", "Qwen2Audio", "Qwen3ASR", "Voxtral", "Ultravox", "GraniteSpeech", "Gemma3n", "Qwen2_5Omni", "Qwen3Omni", "MiniCPMO", "AudioFlamingo")


@dataclass(frozen=True)
class Missing:
    """Packages that a feature needs and the requirements lack. C(need) is the argument that needs them, None for a model that takes audio."""

    packages: tuple[str, ...]
    need: Need | None = None


def missing_packages(
    given: Mapping[str, Any], class_name: str, requirements: Sequence[str], version: Version, is_known: Callable[[Need], bool]
) -> list[Missing]:
    """What the requirements lack for these arguments and this class of model, in this version of vLLM.

    :param is_known: whether the version knows the value of an argument; another check reports values that it does not
    """
    found = [
        Missing(need.packages[:1], need)
        for need in NEEDS
        if need.applies_to(version) and need.needs(given) and is_known(need) and not any(has_package(requirements, package) for package in need.packages)
    ]
    if class_name.startswith(HEARING):
        packages = next(packages for since, packages in AUDIO if version.release[: len(since)] >= since)
        # Who lists the first has chosen.
        found += [] if has_package(requirements, packages[0]) else [Missing(packages)]
    return found


@dataclass(frozen=True)
class Pin:
    """The version of a package, that for Python 3.10 where it differs, and the oldest vLLM that it was resolved with; None for any."""

    version: str
    min_vllm: Version | None = None
    on_3_10: str = ""

    def requirements(self, package: str) -> list[str]:
        """The requirements of a release."""
        if not self.on_3_10:
            return [f"{package}=={self.version}"]
        return [f"{package}=={self.version}; python_version >= '3.11'", f"{package}=={self.on_3_10}; python_version < '3.11'"]


def read_pins(raw: Mapping[str, Any]) -> dict[str, Pin]:
    """The packages of roles/plan/files/packages.yml.

    :raises ValueError: when one is invalid, which is a bug of this collection
    """
    found = {}
    for name, stated in raw.items():
        pin = stated if isinstance(stated, Mapping) else {"version": stated}
        least = parse(str(pin["min_vllm"])) if "min_vllm" in pin else None
        if parse(str(pin["version"])) is None or ("min_vllm" in pin and least is None):
            raise ValueError(f"{name} has no usable version")
        found[name] = Pin(str(pin["version"]), least, str(pin.get("python_3_10") or ""))
    return found


def pinned(missing: Sequence[Missing], pins: Mapping[str, Pin], version: Version) -> tuple[str, ...]:
    """Requirements for what is missing, where the versions of all of its packages for this vLLM are known."""
    found: list[str] = []
    for lack in missing:
        known = [pins.get(package) for package in lack.packages]
        if all(pin is not None and (pin.min_vllm is None or version >= pin.min_vllm) for pin in known):
            found += [requirement for package, pin in zip(lack.packages, known) if pin is not None for requirement in pin.requirements(package)]
    return tuple(dict.fromkeys(found))


def has_package(requirements: Sequence[str], package: str) -> bool:
    """Whether requirements name a package, however it is spelt."""
    names = (match.group() for requirement in requirements if (match := _NAME.match(requirement)) is not None)
    return any(re.sub(r"[-_.]+", "-", name).lower() == package for name in names)
