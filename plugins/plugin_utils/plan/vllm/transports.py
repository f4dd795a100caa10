# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transports between the nodes of a service: NCCL's settings for each kind of network, and the network that NCCL should report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping


@dataclass(frozen=True)
class Transport:
    """A kind of network. C(expects) is the network in NCCL's log, V(NET/IB) or V(NET/Socket); C(devices) whether it needs RDMA devices."""

    name: str
    environment: dict[str, str]
    expects: str
    devices: bool


def build(data: Mapping[str, Any]) -> dict[str, Transport]:
    """The transports by name, from the role's file.

    :raises ValueError: when one expects a network that NCCL never reports, which is a bug of this collection
    """
    found = {}
    for name, raw in data.items():
        if raw["expects"] not in ("NET/IB", "NET/Socket"):
            raise ValueError(f"the transport {name} expects {raw['expects']}, which NCCL never reports")
        environment = {key: str(value) for key, value in raw["environment"].items()}
        found[name] = Transport(name, environment, raw["expects"], raw["expects"] == "NET/IB")
    return found
