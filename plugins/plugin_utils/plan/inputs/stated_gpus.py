# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of plan_gpus: GPUs as a user states them, with the checks that the output of nvidia-smi does not need."""

from __future__ import annotations

import re

from collections import Counter
from typing import Any, Iterable, Mapping

from .. import values
from ..errors import InvalidValue, PlanError, did_you_mean, shown

_CAPABILITY = re.compile(r"[1-9]\d?\.\d")
_DRIVER = re.compile(r"\d+(?:\.\d+)+")
_GFX = re.compile(r"gfx[0-9a-f]{3,5}")
# Plausible sizes of GPU memory in bytes: a user who writes 80 means GB.
_MEMORY = values.integer(2**28, 2**44)


def _memory(value: Any) -> int:
    try:
        return _MEMORY(value)
    except InvalidValue as bad:
        fix = "write the memory in bytes, like 85520809984 for the 80 GB of an H100"
        raise InvalidValue(f"this is not the memory of a GPU in bytes: {bad.why}", fix) from bad


def _capability(value: Any) -> str:
    text = str(value) if isinstance(value, float) else values.string(value)
    if text and not _CAPABILITY.fullmatch(text):
        raise InvalidValue(f"{shown(text)} is not a compute capability", "write it like '9.0', as nvidia-smi --query-gpu=compute_cap prints it")
    return text


def _gfx(value: Any) -> str:
    text = values.string(value)
    if text and not _GFX.fullmatch(text):
        raise InvalidValue(f"{shown(text)} is not an LLVM target of an AMD GPU", "write it like gfx942, as amd-smi static --asic prints it")
    return text


def _driver(value: Any) -> str:
    text = str(value) if isinstance(value, float) else values.string(value)
    if text and not _DRIVER.fullmatch(text):
        raise InvalidValue(f"{shown(text)} is not a driver version", "write it like 580.95.05, as nvidia-smi --query-gpu=driver_version prints it")
    return text


def _slices(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, Mapping) for item in value):
        fix = "write each like {uuid: MIG-…, profile: 1g.10gb, memory_bytes: 10468982784}, as nvidia-smi -L prints them"
        raise InvalidValue("this is not a list of slices", fix)
    known = ("uuid", "profile", "memory_bytes")
    found = []
    for item in value:
        unknown = [str(name) for name in item if name not in known]
        if unknown:
            raise InvalidValue(f"a slice has no key {shown(unknown[0])}", did_you_mean(unknown[0], known, f"a slice has {', '.join(known)}"))
        found.append({
            "uuid": values.gpu(item.get("uuid")), "profile": values.string(item.get("profile", "")),
            "memory_bytes": _memory(item["memory_bytes"]) if item.get("memory_bytes") is not None else None,
        })
    return found


_READERS: dict[str, values.Reader] = {
    "index": values.integer(0, 1023),
    "name": values.string,
    "memory_bytes": _memory,
    "compute_capability": _capability,
    "driver_version": _driver,
    "gfx": _gfx,
    "slices": _slices,
}
# Keys that the facts have as well, so that a user can copy them. The plan does not use C(uuid).
_KNOWN = (*_READERS, "uuid", "error", "split")


def read(host: str, key: str, stated: Mapping[str, Any]) -> tuple[dict[str, Any], list[PlanError]]:
    """One GPU in the form of the facts, and the errors in it. Invalid values are left out."""
    found: dict[str, Any] = {}
    errors = []
    for name, value in stated.items():
        where = f"{key}.{name}"
        if name not in _KNOWN:
            fix = did_you_mean(name, _KNOWN, f"a GPU has {', '.join(_READERS)}")
            errors.append(PlanError(host, "", where, shown(value), "a GPU has no such key", fix))
        elif name not in _READERS:
            found[name] = value
        elif value is not None:
            try:
                found[name] = _READERS[name](value)
            except InvalidValue as bad:
                errors.append(PlanError(host, "", where, shown(value), bad.why, bad.fix))
    return found, errors


def twice(host: str, key: str, indexes: Iterable[int | str]) -> list[PlanError]:
    """The error that GPUs are stated more than once; empty when there is none."""
    again = [str(index) for index, count in Counter(indexes).items() if count > 1]
    why = f"GPU {', '.join(again)} is stated more than once"
    return [PlanError(host, "", key, ", ".join(again), why, "state each GPU once; without index they are numbered from 0")] if again else []
