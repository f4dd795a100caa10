# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings: readers of the user's values, and facts of the host. The collection's own values are in roles/kernel/defaults."""

from __future__ import annotations

import math
import re

from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils._kernel import keys

from ... import values
from ...errors import InvalidValue, PlanError, did_you_mean, kind, shown

# The collection's parameters, and the user's, which override them.
VARIABLES = ("kernel_sysctl_defaults", "kernel_sysctl")
HUGEPAGES = ("always", "madvise", "never")

_GOVERNOR = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MEMLOCK = re.compile(r"@?[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?")
_LONGEST_VALUE = 1024


@dataclass(frozen=True)
class Parameter:
    """A kernel parameter on a host. C(absence) is why a valid parameter may be missing, C(near) are names similar to that of an unknown parameter,
    and C(conflicts) are the values that other files set after those of the role (None: they remove it)."""

    value: str | None
    exists: bool
    absence: str
    near: tuple[str, ...]
    conflicts: tuple[str | None, ...]


@dataclass(frozen=True)
class KernelFacts:
    """The kernel settings of a host. C(files) are the lines of managed files, C(unmanaged) are unmanaged files with the name of a managed one."""

    files: dict[str, tuple[str, ...]]
    unmanaged: tuple[str, ...]
    missing_folders: tuple[str, ...]
    modules: frozenset[str]
    sysctl: dict[str, Parameter]
    transparent_hugepages: str
    governors: tuple[str, ...]
    available_governors: tuple[str, ...]


def hugepages(value: Any) -> str:
    """A mode of transparent huge pages."""
    read = values.string(value)
    if read not in HUGEPAGES:
        raise InvalidValue("the kernel has no such mode", did_you_mean(read, HUGEPAGES, f"write {', '.join(HUGEPAGES)}"))
    return read


def governor(value: Any) -> str:
    """The name of a governor. The driver decides which governors exist, so a check compares the name with the host's facts."""
    read = values.string(value)
    if not _GOVERNOR.fullmatch(read):
        raise InvalidValue("this is not the name of a governor", "write one that the CPUs offer, such as performance, powersave or schedutil")
    return read


def memlock_users(value: Any) -> tuple[str, ...]:
    """Users, and groups with a leading @, as in limits.conf. root needs no entry."""
    read = values.strings(value)
    for name in read:
        if not _MEMLOCK.fullmatch(name):
            raise InvalidValue(f"{shown(name)} is neither the name of a user nor, with a leading @, of a group", "write names like alice or @researchers")
    return tuple(dict.fromkeys(read))


def read_sysctl(variable: str, host: str, raw: Any) -> tuple[dict[str, str | None], list[PlanError]]:
    """Parameters by their name with dots; null removes a parameter. Invalid items are errors and left out."""
    try:
        pairs = values.mapping(raw)
    except InvalidValue as bad:
        return {}, [PlanError(host, "", variable, shown(raw), bad.why, bad.fix)]
    found: dict[str, str | None] = {}
    errors = []
    for name, value in pairs.items():
        try:
            key = _name(name)
            if key in found:
                raise InvalidValue(f"{key} is set twice, under two spellings of its name", "keep one of them")
            found[key] = None if value is None else _value(value)
        except InvalidValue as bad:
            errors.append(PlanError(host, "", f"{variable}.{name}", shown(value, name), bad.why, bad.fix))
    return found, errors


def _name(name: str) -> str:
    if keys.is_pattern(name):
        raise InvalidValue("this is a pattern, not the name of one parameter", "write out each name, like net.ipv4.conf.all.rp_filter")
    if not keys.is_name(name):
        raise InvalidValue("this is not the name of a kernel parameter", "write it as sysctl shows it, like net.core.somaxconn")
    return keys.canonical(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        raise InvalidValue("YAML reads this as true or false, and the kernel takes numbers", "write 1 or 0")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if not isinstance(value, str):
        raise InvalidValue(f"this is {kind(value)} where a number or text belongs", 'write a number, or text like "4096 131072 6291456"')
    text = keys.plain(values.string(value.replace("\t", " ")))
    if not text or len(text) > _LONGEST_VALUE:
        raise InvalidValue(f"it is empty or longer than {_LONGEST_VALUE} characters", "write a value, or null to remove the parameter")
    return text


def read_facts(raw: Any) -> KernelFacts | None:
    """Facts from the C(kernel) of host_facts, read leniently; None where there are none."""
    if not isinstance(raw, Mapping):
        return None
    return KernelFacts(
        files={path: tuple(_texts(lines)) for path, lines in _mapping(raw.get("files")).items()},
        unmanaged=_texts(raw.get("unmanaged_files")),
        missing_folders=_texts(raw.get("missing_folders")),
        modules=frozenset(_texts(raw.get("modules"))),
        sysctl={key: _parameter(item) for key, item in _mapping(raw.get("sysctl")).items() if isinstance(item, Mapping)},
        transparent_hugepages=_text(raw.get("transparent_hugepages")) or "",
        governors=_texts(raw.get("governors")),
        available_governors=_texts(raw.get("available_governors")),
    )


def _parameter(item: Mapping[str, Any]) -> Parameter:
    conflicts = item.get("conflicts")
    return Parameter(
        value=_text(item.get("value"), None),
        exists=bool(item.get("exists")),
        absence=_text(item.get("absence")) or "",
        near=_texts(item.get("near")),
        conflicts=tuple(_text(value, None) for value in conflicts) if isinstance(conflicts, (list, tuple)) else (),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any, otherwise: str | None = "") -> str | None:
    return value if isinstance(value, str) else otherwise


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (list, tuple)) else ()
