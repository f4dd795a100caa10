# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver's parts, which have to have the same version: the loaded kernel module and the libraries. And whether an unattended upgrade may change them."""

from __future__ import annotations

import glob
import os
import re
import typing as t

from .. import _host

_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
_VERSION = re.compile(r"libnvidia-ml\.so\.(\d+(?:\.\d+)+)$")
# Packages of the driver, of Debian, Ubuntu and NVIDIA. Not the toolkit's, and not those that only run containers or read sensors.
_DRIVER = re.compile(
    r"nvidia-(?:driver|dkms|kernel|open|utils|compute-utils|headless|fabricmanager|persistenced|modprobe|alternative|smi)\b|"
    r"libnvidia-(?!container)|cuda-drivers|linux-(?:modules|objects|signatures)-nvidia\b|libcuda1\b"
)
_BLACKLISTED = re.compile(r'^Unattended-Upgrade::Package-Blacklist(?:::\S*)? "(.+)";$', re.MULTILINE)


def library_version(directories: t.Sequence[str] = _LIBRARIES) -> str:
    """Return the version of NVML's library that programs load; empty when there is none."""
    for directory in directories:
        path = os.path.join(directory, "libnvidia-ml.so.1")
        match = _VERSION.search(os.path.realpath(path)) if os.path.exists(path) else None
        if match:
            return match[1]
    return ""


def unheld(packages: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[str]:
    """Return the driver's packages that are not on hold. C(packages) is the fact C(driver_packages)."""
    return sorted(name for name, package in packages.items() if _DRIVER.match(name) and not package["held"])


def upgradable(packages: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[str]:
    """Return the driver's packages that an unattended upgrade may change; empty when there are no unattended upgrades."""
    found = unheld(packages)
    if not found or not os.path.exists("/usr/bin/unattended-upgrade"):
        return []
    settings = _host.run("apt-config", "dump")
    return _without_blacklisted(found, settings) if upgrades_are_enabled(settings, _timer_state()) else []


def upgrades_are_enabled(settings: str, timer: str) -> bool:
    """Whether unattended upgrades run, by the output of C(apt-config dump) and the C(LoadState) of their timer."""
    values = dict(re.findall(r'^APT::Periodic::(Enable|Unattended-Upgrade) "([^"]*)";$', settings, re.MULTILINE))
    # A number of days, or one with a unit.
    return values.get("Unattended-Upgrade", "0") not in ("", "0") and values.get("Enable", "1") != "0" and timer != "masked"


def _timer_state() -> str:
    return _host.run("systemctl", "show", "--property=LoadState", "--value", "apt-daily-upgrade.timer").strip()


def _without_blacklisted(names: list[str], settings: str) -> list[str]:
    """Leave out packages that unattended-upgrades leaves alone. Its patterns are regular expressions that match from the start."""
    patterns = []
    for pattern in _BLACKLISTED.findall(settings):
        try:
            patterns.append(re.compile(pattern))
        except re.error:
            continue
    return [name for name in names if not any(pattern.match(name) for pattern in patterns)]


def reboot_reason(packages: str = "/run/reboot-required.pkgs") -> list[str]:
    """Return the driver's packages that wait for a reboot."""
    return sorted({name for path in glob.glob(packages) for name in _host.read_text(path).split() if _DRIVER.match(name)})
