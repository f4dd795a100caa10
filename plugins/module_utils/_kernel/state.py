# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's kernel settings: facts for the plan."""

from __future__ import annotations

import glob
import os
import typing as t

from .. import _reading
from . import conflicts, files, keys


def read(more: t.Iterable[t.Any], root: str = "/") -> dict[str, t.Any]:
    """The facts C(kernel) of host_facts. C(more) has further parameters, as names or as dictionaries by name; invalid names are skipped."""
    given = [name for item in more for name in (item if isinstance(item, dict) else [item]) if isinstance(name, str)]
    names = dict.fromkeys([*keys.OWN, *(keys.canonical(name) for name in given if keys.is_name(name))])
    later = conflicts.find(root, names)
    return {
        "files": files.managed(root),
        "unmanaged_files": files.unmanaged(root),
        "missing_folders": files.folders(root),
        "modules": [name for name in ("nf_conntrack",) if is_loaded(root, name)],
        "sysctl": {name: _parameter(root, name, later.get(name, [])) for name in names},
        "transparent_hugepages": hugepages(root),
        "governors": governors(root),
        "available_governors": available_governors(root),
    }


def _parameter(root: str, name: str, later: list[tuple[str, str | None, str]]) -> dict[str, t.Any]:
    there = keys.exists(root, name)
    absence = "" if there else keys.absence(root, name)
    mistaken = not there and not absence
    return {
        "value": keys.read_value(root, name),
        "exists": there,
        "absence": absence,
        "near": keys.near(root, name) if mistaken else [],
        "conflicts": [value for _file, value, _why in later],
    }


def is_loaded(root: str, module: str) -> bool:
    """Whether a module is loaded, or built into the kernel and visible in /sys/module."""
    return os.path.isdir(files.below(root, f"/sys/module/{module}"))


def hugepages(root: str) -> str:
    """The active value, which /sys marks with brackets; empty when there is none."""
    words = _reading.read_text(files.below(root, files.HUGEPAGES)).split()
    return next((word.strip("[]") for word in words if word.startswith("[")), "")


def governor_files(root: str) -> list[str]:
    """One file for each CPU with frequency scaling."""
    return sorted(glob.glob(files.below(root, files.GOVERNORS)))


def governors(root: str) -> list[str]:
    """Governors that are in force."""
    return sorted({_reading.read_text(path).strip() for path in governor_files(root)})


def available_governors(root: str) -> list[str]:
    """Governors that every CPU offers."""
    offers = [set(_reading.read_text(os.path.join(os.path.dirname(path), "scaling_available_governors")).split()) for path in governor_files(root)]
    return sorted(set.intersection(*offers)) if offers else []
