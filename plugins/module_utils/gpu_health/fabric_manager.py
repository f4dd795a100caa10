# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fabric Manager's service. On a host with NVSwitches it connects the GPUs; without it CUDA fails with error 802."""

from __future__ import annotations

from .. import _host

UNIT = "nvidia-fabricmanager.service"


def service_state() -> str:
    """Return the state of its unit (C(ActiveState)); empty when the host has no such unit, or systemd does not answer."""
    lines = _host.run("systemctl", "show", "--property=LoadState,ActiveState", UNIT).splitlines()
    found = dict(line.partition("=")[::2] for line in lines)
    return found.get("ActiveState", "") if found.get("LoadState") == "loaded" else ""
