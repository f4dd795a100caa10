# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parse the JSON of rocm-smi, which amd-smi replaces: an object for each card, and one named C(system). The case of the keys differs by version."""

from __future__ import annotations

import re
import typing as t

from . import values

PROGRAM = "rocm-smi"
QUERY = ("--showproductname", "--showmeminfo", "vram", "--showuniqueid", "--showbus", "--showdriverversion", "--json")

_NAMES = ("card series", "device name", "market name")


def parse(text: str) -> list[values.Gpu]:
    """Return the GPUs, in the order of their index. Raises ValueError for output of another form."""
    found = values.json_in(text, PROGRAM)
    if not isinstance(found, dict):
        raise ValueError(f"{PROGRAM} printed JSON that is no object of cards")
    driver = values.driver_of(_lower(found.get("system")).get("driver version"))
    gpus = []
    for name, item in found.items():
        match = re.fullmatch(r"card(\d{1,3})", name)
        if match is None or not isinstance(item, dict):
            continue
        card = _lower(item)
        known = [values.text_of(card.get(key)) for key in _NAMES]
        gpus.append(values.gpu(
            int(match[1]),
            uuid=_uuid(card.get("unique id")),
            bus_id=values.bus_of(card.get("pci bus")),
            # In place of an unknown name it prints the number of the device.
            name=next((text for text in known if text and not text.startswith("0x")), ""),
            gfx=values.gfx_of(card.get("gfx version")),
            memory_bytes=values.bytes_of(card.get("vram total memory (b)")),
            driver_version=values.driver_of(card.get("driver version")) or driver,
            node=values.number_of(card.get("node id")),
            partition=values.partition_of(card.get("compute partition")),
        ))
    return sorted(gpus, key=lambda gpu: gpu["index"])


def _lower(item: t.Any) -> dict[str, t.Any]:
    return {str(key).strip().lower(): value for key, value in item.items()} if isinstance(item, dict) else {}


def _uuid(unique: t.Any) -> str:
    text = values.text_of(unique)
    return values.uuid_of(int(text, 16)) if re.fullmatch(r"0x[0-9a-fA-F]{1,16}", text) else ""
