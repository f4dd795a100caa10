# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks between the nodes of a service: what NCCL has to be told about each kind, and what it is then expected to use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping


@dataclass(frozen=True)
class Transport:
    """A kind of network. C(expects) is what NCCL's log has to say, V(NET/IB) or V(NET/Socket); C(devices) whether RDMA devices have to be there."""

    name: str
    environment: dict[str, str]
    expects: str
    devices: bool


def build(data: Mapping[str, Any]) -> dict[str, Transport]:
    """The kinds by name, from the role's file.

    :raises ValueError: when one expects what NCCL never says, which is an error of this collection
    """
    found = {}
    for name, raw in data.items():
        if raw["expects"] not in ("NET/IB", "NET/Socket"):
            raise ValueError(f"the transport {name} expects {raw['expects']}, which NCCL never says")
        environment = {key: str(value) for key, value in raw["environment"].items()}
        found[name] = Transport(name, environment, raw["expects"], raw["expects"] == "NET/IB")
    return found
