# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read AMD GPUs from the kernel's own description of them, for hosts without amd-smi and rocm-smi.

/sys/class/kfd/kfd/topology/nodes has a directory for each node: CPUs (C(gpu_id) 0) and GPUs. Format: drivers/gpu/drm/amd/amdkfd/kfd_topology.c.
"""

from __future__ import annotations

import collections
import glob
import os
import typing as t

from .. import _reading
from . import values

NODES = "/sys/class/kfd/kfd/topology/nodes"
DRIVER = "/sys/module/amdgpu/version"

# Heaps of a node that are the GPU's own memory: public and private (HSA_HEAPTYPE_FRAME_BUFFER_PUBLIC, _PRIVATE).
_OWN_MEMORY = ("1", "2")
# PCI device numbers. Source: vLLM 0.32.0, platforms/rocm.py (_ROCM_DEVICE_ID_NAME_MAP); for MI210, MI250X and MI350 recorded outputs of amd-smi.
_DEVICES = {
    0x740C: "AMD Instinct MI250X", 0x740F: "AMD Instinct MI210", 0x74A0: "AMD Instinct MI300A", 0x74A1: "AMD Instinct MI300X",
    0x74A2: "AMD Instinct MI308X", 0x74A5: "AMD Instinct MI325X", 0x74A9: "AMD Instinct MI300X HF", 0x74B5: "AMD Instinct MI300X VF",
    0x74B9: "AMD Instinct MI325X VF", 0x74BD: "AMD Instinct MI300X HF", 0x75A0: "AMD Instinct MI350X", 0x75A3: "AMD Instinct MI355X",
    0x744C: "AMD Radeon RX 7900 XTX", 0x7550: "AMD Radeon RX 9070 XT", 0x7551: "AMD Radeon AI PRO R9700",
}


def read(nodes: str = NODES, driver: str = DRIVER) -> list[values.Gpu]:
    """Return the GPUs in the order of their nodes, by which HIP numbers them."""
    found = []
    for number in sorted(int(name) for name in _names(nodes) if name.isascii() and name.isdigit()):
        folder = os.path.join(nodes, str(number))
        properties = _properties(os.path.join(folder, "properties"))
        gfx = gfx_of(properties.get("gfx_target_version", 0))
        if gfx:
            found.append((number, folder, properties, gfx))
    # The parts of a divided GPU are nodes with the number of the whole one.
    parts = collections.Counter(properties.get("unique_id", 0) for _number, _folder, properties, _gfx in found)
    version = values.driver_of(_reading.read_text(driver))
    return [
        values.gpu(
            index, uuid=values.uuid_of(properties.get("unique_id")), bus_id=_bus(properties), gfx=gfx, memory_bytes=_memory(folder),
            name=_DEVICES.get(properties.get("device_id", 0), ""), driver_version=version, node=number,
            partition="a part" if properties.get("unique_id") and parts[properties["unique_id"]] > 1 else "",
        )
        for index, (number, folder, properties, gfx) in enumerate(found)
    ]


def gfx_of(version: int) -> str:
    """Return the LLVM target of the kernel's number: 90402 is gfx942, 90010 is gfx90a, 110000 is gfx1100. Empty for a CPU (0)."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}" if 0 < version < 1000000 else ""


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _properties(path: str) -> dict[str, int]:
    """The lines "name number" of a file."""
    rows = (line.split() for line in _reading.read_text(path).splitlines())
    pairs = ((row[0], values_of(row[1])) for row in rows if len(row) == 2)
    return {name: number for name, number in pairs if number is not None}


def values_of(text: str) -> int | None:
    """Return a number of up to 64 bits; None for other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 2**64 else None


def _bus(properties: t.Mapping[str, int]) -> str:
    place = properties.get("location_id", 0)
    return values.bus_of(f"{properties.get('domain', 0):04x}:{place >> 8 & 0xFF:02x}:{place >> 3 & 0x1F:02x}.{place & 7}") if place else ""


def _memory(folder: str) -> int | None:
    banks = [_properties(path) for path in sorted(glob.glob(os.path.join(folder, "mem_banks", "*", "properties")))]
    own = sum(bank.get("size_in_bytes", 0) for bank in banks if str(bank.get("heap_type")) in _OWN_MEMORY)
    return values.bytes_of(f"{own} B")
