# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""IOMMU and ACS, from a folder in the form of /sys."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis import pci
from diagnosis_builders import context, names, put


def config(acs: int | None, size: int = 4096) -> bytes:
    """A configuration space with another capability before ACS."""
    data = bytearray(size)
    if acs is not None:
        data[0x100:0x104] = (0x0001 | 1 << 16 | 0x148 << 20).to_bytes(4, "little")
        data[0x148:0x14C] = (0x000D | 1 << 16).to_bytes(4, "little")
        data[0x14E:0x150] = acs.to_bytes(2, "little")
    return bytes(data)


def host(root: Path, gpus: int, bridge: bytes = b"", group: str = "identity", virtual: bool = False) -> None:
    """GPUs under bridges of their own, each in an IOMMU group of this type."""
    put(root, "/proc/cpuinfo", f"flags\t\t: fpu {'hypervisor' if virtual else 'vme'}\n")
    put(root, "/proc/cmdline", "root=/dev/sda1 intel_iommu=on")
    for number in range(1, gpus + 1):
        path = f"/sys/devices/pci0000:00/0000:00:0{number}.0/0000:0{number}:00.0"
        put(root, f"{path}/vendor", "0x10de\n")
        put(root, f"{path}/class", "0x030200\n")
        put(root, f"{path}/../config", bridge)
        put(root, f"/sys/kernel/iommu_groups/{number}/type", group + "\n")
        (root / path.lstrip("/") / "iommu_group").symlink_to(root / f"sys/kernel/iommu_groups/{number}")
        link = root / f"sys/bus/pci/devices/0000:0{number}:00.0"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(root / path.lstrip("/"))


CASES = [
    # gpus, the bridges' ACS, the group's type, whether virtual, what is found
    (2, config(0), "identity", False, []),
    (2, config(None), "identity", False, []),
    (2, config(0x1D), "identity", False, ["acs"]),
    (2, config(0x10), "identity", False, []),
    (2, config(0x1D), "identity", True, []),
    (2, config(0), "DMA-FQ", False, ["iommu"]),
    (2, config(0x4), "DMA", False, ["iommu", "acs"]),
    (1, config(0x1D), "DMA", False, []),
    (2, config(0x1D)[:64], "identity", False, ["?ACS"]),
    (2, config(None, 256), "identity", False, []),
]


@pytest.mark.parametrize(("gpus", "bridge", "group", "virtual", "expected"), CASES)
def test_hosts(tmp_path: Path, gpus: int, bridge: bytes, group: str, virtual: bool, expected: list[str]) -> None:
    host(tmp_path, gpus, bridge, group, virtual)
    assert names(pci.check(context(tmp_path))) == expected


def test_the_bridge_is_named(tmp_path: Path) -> None:
    host(tmp_path, 2, config(0x5))
    (found,) = pci.check(context(tmp_path))
    assert "in 2 bridges" in found.cause and found.command == "setpci -s 0000:00:01.0 ECAP_ACS+0x6.w=0000" and "SrcValid+ReqRedir" in found.detail


def test_a_loop_of_capabilities_ends(tmp_path: Path) -> None:
    data = bytearray(4096)
    data[0x100:0x104] = (0x0001 | 0x100 << 20).to_bytes(4, "little")
    assert pci.acs(str(put(tmp_path, "config", bytes(data)))) == 0 and pci.acs(str(tmp_path / "none")) is None
