# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parse the JSON of amd-smi: C(static), C(list) and C(version).

ROCm 6 prints a list of GPUs, ROCm 7 and newer an object with C(gpu_data). Keys: ROCm/amdsmi@03db1d5:docs/how-to/amdsmi-cli-tool.md and
amdsmi_cli/amdsmi_commands.py.
"""

from __future__ import annotations

import typing as t

from . import values

PROGRAM = "amd-smi"
# Older versions reject the whole command because of one unknown option.
STATIC = (("static", "--asic", "--bus", "--driver", "--vram", "--partition", "--json"), ("static", "--asic", "--bus", "--driver", "--vram", "--json"))
LIST = ("list", "--json")
VERSION = ("version", "--json")


def parse(static: str, listed: str = "") -> list[values.Gpu]:
    """Return the GPUs, in the order of their index. Raises ValueError for output of another form.

    :param static: output of C(amd-smi static)
    :param listed: output of C(amd-smi list), which has the KFD nodes; it may be empty
    """
    places = {item["gpu"]: item for item in _items(listed)} if listed else {}
    gpus = []
    for item in _items(static):
        index = item["gpu"]
        place = places.get(index, {})
        asic, vram, partition = (_inner(item, key) for key in ("asic", "vram", "partition"))
        mode = partition.get("accelerator_partition", partition.get("compute_partition"))
        gpus.append(values.gpu(
            index,
            uuid=_uuid(asic.get("asic_serial")),
            bus_id=values.bus_of(_inner(item, "bus").get("bdf")) or values.bus_of(place.get("bdf")),
            name=values.text_of(asic.get("market_name")),
            gfx=values.gfx_of(asic.get("target_graphics_version")),
            memory_bytes=values.bytes_of(vram.get("size")),
            driver_version=values.driver_of(_inner(item, "driver").get("version")),
            node=values.number_of(place.get("node_id")),
            partition=values.partition_of(mode, place.get("partition_id", partition.get("partition_id"))),
        ))
    return sorted(gpus, key=lambda gpu: gpu["index"])


def parse_version(text: str) -> str:
    """Return the ROCm version that amd-smi belongs to; empty when unknown."""
    try:
        found = values.json_in(text, PROGRAM)
    except ValueError:
        return ""
    first = found[0] if isinstance(found, list) and found else found
    return values.text_of(first.get("rocm_version")) if isinstance(first, dict) else ""


def _items(text: str) -> list[dict[str, t.Any]]:
    found = values.json_in(text, PROGRAM)
    items = found.get("gpu_data") if isinstance(found, dict) else found
    if not isinstance(items, list):
        raise ValueError(f"{PROGRAM} printed JSON without a list of GPUs")
    # CPUs and network cards are listed too.
    gpus = [item for item in items if isinstance(item, dict) and "gpu" in item]
    indexes = [item["gpu"] for item in gpus]
    wrong = [index for index in indexes if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < values.MOST_GPUS]
    if wrong:
        raise ValueError(f"{PROGRAM} printed a GPU whose number is {str(wrong[0])[:40]!r}")
    if len(set(indexes)) < len(indexes):
        raise ValueError(f"{PROGRAM} printed a GPU twice")
    return gpus


def _inner(item: dict[str, t.Any], key: str) -> dict[str, t.Any]:
    found = item.get(key)
    return found if isinstance(found, dict) else {}


def _uuid(serial: t.Any) -> str:
    """The number that the kernel gives a GPU (unique_id) is what amd-smi calls the serial number of its ASIC; all digits are f where it has none."""
    text = values.text_of(serial)
    try:
        return values.uuid_of(int(text, 16) if len(text) <= 18 else None)
    except ValueError:
        return ""
