# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variants of serving a model: profiles for hardware and presets for uses. Both override arguments of the catalogue entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, TypeVar

from .. import sections, values
from ..errors import InvalidValue, PlanError, shown
from ..vllm import environments

_LARGEST_GPU = 4096
_MOST = 1024


@dataclass(frozen=True)
class Preset:
    """A use of a model. A null in the arguments removes an argument of the entry."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str | None] = field(default_factory=dict)
    notes: str = ""


@dataclass(frozen=True)
class Profile(Preset):
    """Hardware for a model: C(gpus) of one kind on each of C(nodes) hosts, each with C(gpu_memory_gib); 0 when not stated."""

    gpu: str = ""
    gpu_memory_gib: int = 0
    gpus: int = 1
    nodes: int = 1


_PRESET: dict[str, values.Reader] = {"arguments": values.mapping, "environment": values.mapping, "notes": sections.prose}
_PROFILE: dict[str, values.Reader] = {
    "gpu": values.string,
    "gpu_memory_gib": values.integer(1, _LARGEST_GPU),
    "gpus": values.integer(1, _MOST),
    "nodes": values.integer(1, _MOST),
    **_PRESET,
}

_Made = TypeVar("_Made", bound=Preset)


def read_presets(host: str, key: str, raw: Any) -> tuple[dict[str, Preset], list[PlanError]]:
    """Presets by name. Invalid values are errors and left out."""
    return _read(host, key, raw, _PRESET, "a preset", Preset)


def read_profiles(host: str, key: str, raw: Any) -> tuple[dict[str, Profile], list[PlanError]]:
    """Profiles by name. Invalid values are errors and left out."""
    return _read(host, key, raw, _PROFILE, "a profile", Profile)


def _read(
    host: str, key: str, raw: Any, readers: dict[str, values.Reader], what: str, make: Callable[..., _Made]
) -> tuple[dict[str, _Made], list[PlanError]]:
    try:
        named = values.mapping(raw)
    except InvalidValue as bad:
        return {}, [PlanError(host, "", key, shown(raw), bad.why, bad.fix)]
    made = {}
    errors = []
    for name, item in named.items():
        # A name without keys is a variant without changes.
        found, wrong = sections.read(host, f"{key}.{name}", {} if item is None else item, readers, what)
        errors += wrong
        if "environment" in found:
            found["environment"], wrong = environments.read(host, "", f"{key}.{name}.environment", found["environment"])
            errors += wrong
        made[name] = make(name=name, **found)
    return made, errors
