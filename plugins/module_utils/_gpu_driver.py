# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about NVIDIA's driver, apart from the GPUs: the loaded kernel module, NVSwitches, Fabric Manager, and held packages."""

from __future__ import annotations

import glob
import os
import re
import subprocess
import typing as t

# PCI ids: the vendor NVIDIA, and the class "other bridge", which NVSwitches have.
_NVIDIA = "0x10de"
_SWITCH = "0x0680"
_PACKAGE_VERSION = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)+)")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def count_nvswitches(devices: str = "/sys/bus/pci/devices") -> int:
    """Return how many NVSwitches are on the PCI bus. Newer machines have theirs behind a network device: 0."""
    return sum(
        1 for path in glob.glob(os.path.join(devices, "*"))
        if _read(os.path.join(path, "vendor")) == _NVIDIA and _read(os.path.join(path, "class")).startswith(_SWITCH)
    )


def loaded_module(path: str = "/sys/module/nvidia/version") -> str:
    """Return the version of the loaded kernel module; empty when none is loaded."""
    return _read(path)


def driver_packages() -> dict[str, dict[str, t.Any]]:
    """Return C(version) and C(held) of the installed Debian packages of driver and toolkit, by name; empty without dpkg."""
    try:
        done = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\t${Package}\t${Version}\n", "*nvidia*", "cuda-*"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
        )
    except OSError:
        return {}
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {name: {"version": version, "held": status.startswith("h")} for status, name, version in rows if status[1:2] == "i"}


def fabric_manager(packages: t.Mapping[str, t.Mapping[str, t.Any]]) -> str:
    """Return the version of the installed Fabric Manager in the driver's format; empty when it is not installed."""
    for name, package in packages.items():
        match = _PACKAGE_VERSION.match(package["version"])
        if name.startswith("nvidia-fabricmanager") and match:
            return match.group(1)
    return ""
