# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One download for many hosts: which of them asks the mirrors, and from whom the others copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ... import values
from ...errors import Bad, did_you_mean
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
    """A host's part in sharing some weights.

    C(role) is alone (it downloads for itself), source (it downloads, or has them, and serves the others) or follower (it copies from the
    source). C(source) is the name of that host and C(url) where it serves; C(peers) are the addresses of the followers that a source serves.
    """

    role: str = ALONE
    source: str = ""
    url: str = ""
    peers: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The part as the roles read it."""
        return {"role": self.role, "source": self.source, "url": self.url, "peers": list(self.peers)}


def mode(value: Any) -> str:
    """The word of C(weights_share)."""
    read = values.text(value)
    if read not in MODES:
        raise Bad("there is no such way to share weights", did_you_mean(read, MODES, f"write {', '.join(MODES[:-1])} or {MODES[-1]}"))
    return read


def interface(value: Any) -> str:
    """The name of a network interface, or empty."""
    read = values.text(value)
    return distributed.interface(read) if read else read
