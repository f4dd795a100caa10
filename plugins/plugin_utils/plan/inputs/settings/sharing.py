# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sharing of weights between hosts: who downloads them, and who copies them from another host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ... import values
from ...errors import InvalidValue, did_you_mean
from .. import distributed

NONE = "none"
PEER = "peer"
MIRROR = "mirror"
MODES: tuple[str, ...] = (NONE, PEER, MIRROR)

ALONE = "alone"
SOURCE = "source"
FOLLOWER = "follower"


@dataclass(frozen=True)
class Share:
    """A host's role in sharing weights.

    C(role) is alone (it downloads for itself), source (it downloads or has the weights, and serves its followers) or follower (it copies from the
    source). C(source) is the name of the source and C(url) its address; C(peers) are the addresses of a source's followers.
    """

    role: str = ALONE
    source: str = ""
    url: str = ""
    peers: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The values for the roles."""
        return {"role": self.role, "source": self.source, "url": self.url, "peers": list(self.peers)}


def mode(value: Any) -> str:
    """The value of C(weights_share)."""
    read = values.string(value)
    if read not in MODES:
        raise InvalidValue("there is no such mode of sharing weights", did_you_mean(read, MODES, f"write {', '.join(MODES[:-1])} or {MODES[-1]}"))
    return read


def interface(value: Any) -> str:
    """The name of a network interface; may be empty."""
    read = values.string(value)
    return distributed.interface(read) if read else read
