# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IOMMU and Access Control Services (ACS) of PCI: both send transfers between GPUs through the CPU, where they are slow or hang.

NCCL's user guide, "Troubleshooting", sections "PCI Access Control Services (ACS)" and "GPU Direct". The ACS capability is in PCI Express Base
Specification, section 7.7.11 (PCI_EXT_CAP_ID_ACS in linux/pci_regs.h).
"""

from __future__ import annotations

import glob
import os
import re
import typing as t

from .context import Context
from .finding import Result, Unknown, warning

_NVIDIA = "0x10de"
# "VGA compatible controller" and "3D controller".
_DISPLAY = "0x03"
_ACS = 0x000D
_EXTENDED = 0x100
_CONFIG_BYTES = 4096
# Bits of the control register: source validation, and request and completion redirect to the root complex.
_REDIRECT = {0x1: "SrcValid", 0x4: "ReqRedir", 0x8: "CmpltRedir"}
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


def check(context: Context) -> Result:
    """The GPUs of a host with at least two."""
    gpus = gpu_paths(context)
    if len(gpus) < 2:
        return
    yield from _iommu(context, gpus)
    if re.search(r"^flags\s*:.*\bhypervisor\b", context.text("/proc/cpuinfo"), re.MULTILINE):
        # In a virtual machine ACS is the hypervisor's, and NCCL needs it there.
        return
    yield from _acs(gpus)


def gpu_paths(context: Context) -> list[str]:
    """Return the real paths in /sys of NVIDIA's GPUs."""
    found = []
    for path in sorted(glob.glob(context.path("/sys/bus/pci/devices/*"))):
        name = os.path.join("/sys/bus/pci/devices", os.path.basename(path))
        if context.text(f"{name}/vendor") == _NVIDIA and context.text(f"{name}/class").startswith(_DISPLAY):
            found.append(os.path.realpath(path))
    return found


def _iommu(context: Context, gpus: t.Sequence[str]) -> Result:
    translated = {}
    for gpu in gpus:
        group = os.path.realpath(os.path.join(gpu, "iommu_group"))
        kind = context.text(os.path.join("/sys/kernel/iommu_groups", os.path.basename(group), "type"))
        if kind.startswith("DMA"):
            translated[os.path.basename(gpu)] = kind
    if translated:
        cause = f"the IOMMU translates the addresses of {len(translated)} GPUs, so transfers between GPUs go through the CPU: boot with iommu=pt"
        detail = f"{translated}; kernel command line: {context.text('/proc/cmdline')}"
        yield warning("iommu", cause, "grep -o '[^ ]*iommu[^ ]*' /proc/cmdline; dmesg | grep -i iommu", detail=detail)


def _acs(gpus: t.Sequence[str]) -> Result:
    bridges = sorted({bridge for gpu in gpus for bridge in above(gpu)})
    redirecting, unread = {}, []
    for bridge in bridges:
        bits = acs(os.path.join(bridge, "config"))
        if bits is None:
            unread.append(os.path.basename(bridge))
        elif bits & sum(_REDIRECT):
            redirecting[os.path.basename(bridge)] = "+".join(name for bit, name in _REDIRECT.items() if bits & bit)
    if redirecting:
        first = list(redirecting)[0]
        cause = f"PCI ACS is on in {len(redirecting)} bridges above the GPUs (first: {first}), so transfers between GPUs go through the CPU"
        yield warning("acs", cause, f"setpci -s {first} ECAP_ACS+0x6.w=0000", detail=str(redirecting))
    if unread:
        yield Unknown("ACS", f"the configuration space of {', '.join(unread[:4])} cannot be read in full")


def above(gpu: str) -> list[str]:
    """Return the bridges above a device: the parts of its path in /sys that are PCI addresses."""
    parts = gpu.split("/")
    return ["/".join(parts[: position + 1]) for position, part in enumerate(parts[:-1]) if _ADDRESS.fullmatch(part)]


def acs(path: str) -> t.Optional[int]:
    """Return the ACS control register of a device; 0 without ACS, None when the configuration space cannot be read in full, as without root."""
    try:
        with open(path, "rb") as file:
            config = file.read(_CONFIG_BYTES)
    except OSError:
        return None
    if len(config) <= _EXTENDED:
        # A conventional PCI device has 256 bytes and no ACS; of PCI Express root may read all of them.
        return 0 if len(config) == _EXTENDED else None
    offset, seen = _EXTENDED, set()
    while offset and offset not in seen and offset + 8 <= len(config):
        seen.add(offset)
        header = int.from_bytes(config[offset:offset + 4], "little")
        if header & 0xFFFF == _ACS:
            return int.from_bytes(config[offset + 6:offset + 8], "little")
        offset = header >> 20
    return 0
