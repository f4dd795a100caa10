# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of one host share: its managed units, what the controller knows of them, and the root directory of /sys and /proc."""

from __future__ import annotations

import os
import typing as t

from .. import _reading
from .units import Unit


class Peer(t.NamedTuple):
    """Another node of a multi-node service."""

    host: str
    address: str


class Known(t.NamedTuple):
    """What the plan says about a service on this host: C(names) that its certificate has to be valid for, and for a node its own C(address),
    its C(interface) and its C(peers)."""

    names: t.Sequence[str] = ()
    address: str = ""
    interface: str = ""
    peers: t.Sequence[Peer] = ()


class Context(t.NamedTuple):
    """C(known) is by service. C(driver) is the driver's version according to nvidia-smi, C(mirrors) the URLs to request."""

    units: t.Sequence[Unit] = ()
    known: t.Mapping[str, Known] = {}
    driver: str = ""
    mirrors: t.Sequence[t.Mapping[str, t.Any]] = ()
    min_rate: int = 0
    failures: str = "/var/lib/inferops/failures"
    root: str = "/"

    def path(self, path: str) -> str:
        """Return a path of the host under the root directory."""
        return os.path.join(self.root, path.lstrip("/"))

    def text(self, path: str) -> str:
        """Return a file's text without white space at its ends; empty when it cannot be read."""
        return _reading.read_text(self.path(path)).strip()

    def of(self, service: str) -> Known:
        """Return what the plan says about a service; nothing for an unknown one."""
        return self.known.get(service, Known())
