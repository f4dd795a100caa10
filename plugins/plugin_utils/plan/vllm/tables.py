# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the plan besides the catalogue, from the role's files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from .advisories import Advisories
from .argument_types import TypeTable
from .features import Pin, read_pins
from .flags import FlagTable
from .platforms import Platforms
from .transports import Transport, build as build_transports

# The files in roles/plan/files, by table.
FILES: dict[str, str] = {
    "flags": "vllm_flags.json",
    "types": "vllm_types.json",
    "platforms": "platforms.yml",
    "advisories": "advisories.yml",
    "transports": "transports.yml",
    "transformers": "transformers_defaults.json",
    "packages": "packages.yml",
}


@dataclass(frozen=True)
class Tables:
    """Flags by version, their types, drivers and GPUs, advisories, transports between nodes, transformers' defaults by model_type, and versions of packages
    that features need."""

    flags: FlagTable
    types: TypeTable
    platforms: Platforms
    advisories: Advisories
    transports: dict[str, Transport]
    transformers: Mapping[str, Mapping[str, Any]]
    packages: Mapping[str, Pin]


def build(data: Mapping[str, Mapping[str, Any]]) -> Tables:
    """The tables from the contents of their files, by the keys of C(FILES).

    :raises ValueError: when an entry is invalid, which is a bug of this collection
    """
    return Tables(
        FlagTable(data["flags"]),
        TypeTable(data["types"]),
        Platforms(data["platforms"]),
        Advisories(data["advisories"]),
        build_transports(data["transports"]),
        data["transformers"]["models"],
        read_pins(data["packages"]["packages"]),
    )
