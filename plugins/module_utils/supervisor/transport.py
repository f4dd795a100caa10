# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transport that NCCL uses between hosts, read from its log (NCCL_DEBUG=INFO): NCCL falls back from RDMA to plain sockets silently."""

from __future__ import annotations

import re

RDMA = "NET/IB"
SOCKET = "NET/Socket"

# "… NCCL INFO NET/IB : Using [0]mlx5_0:1/RoCE [RO]; OOB eth0:10.0.0.1<0>", "… NCCL INFO Using network Socket",
# "… NCCL INFO Channel 00/0 : 1[1] -> 0[0] [receive] via NET/IB/0/GDRDMA".
_CHANNEL = re.compile(r"NCCL INFO Channel .* via (NET/(?:IB|Socket))")
_USING = re.compile(r"NCCL INFO (?:(NET/(?:IB|Socket)) ?: Using |Using network (IB|Socket)\b)")
_DEVICES = re.compile(r"NCCL INFO NET/(?:IB|Socket) ?: Using (.*?)(?:; OOB .*)?$")


class Transport:
    """What the log contains so far. C(used) is empty, V(NET/IB), V(NET/Socket) or both with a comma; C(devices) as NCCL names them."""

    def __init__(self) -> None:
        self._channels: set[str] = set()
        self._using = ""
        self.devices = ""

    def read(self, line: str) -> bool:
        """Read a line of the log; return whether it changes the result."""
        if "NCCL INFO" not in line:
            return False
        before = self.used
        channel = _CHANNEL.search(line)
        if channel:
            self._channels.add(channel[1])
        using = _USING.search(line)
        if using:
            self._using = using[1] or f"NET/{using[2]}"
            devices = _DEVICES.search(line)
            self.devices = devices[1].strip() if devices else self.devices
        return self.used != before

    @property
    def used(self) -> str:
        # What the channels use takes precedence over what NCCL has found and might use.
        return ", ".join(sorted(self._channels)) or self._using

    def complaint(self, expected: str) -> str:
        """Return what is wrong with the transport; empty when nothing is, when none is expected, or when NCCL has logged none yet."""
        if not expected or not self.used or self.used == expected:
            return ""
        return f"NCCL uses {self.used}{f' ({self.devices})' if self.devices else ''}, and the inventory expects {expected}"
