# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many connections may stand at the hub's port before they have proven anything: each of them has a thread until its time is over."""

from __future__ import annotations

import threading

# Of one address, which no part needs more than one of at a time (the engine beside the hub comes from the hub's own), and of all together.
MOST_OF_ONE = 8
MOST = 128


class Door:
    """Who stands before the door, by address. Used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._standing: dict[str, int] = {}

    def enter(self, address: str) -> str:
        """Count a connection; return why it is one too many, or an empty text. Only one that was counted is to leave."""
        with self._lock:
            if self._standing.get(address, 0) >= MOST_OF_ONE:
                return f"{MOST_OF_ONE} connections of this address have not proven themselves yet"
            if sum(self._standing.values()) >= MOST:
                return f"{MOST} connections have not proven themselves yet"
            self._standing[address] = self._standing.get(address, 0) + 1
            return ""

    def leave(self, address: str) -> None:
        """A connection has proven itself, or is closed."""
        with self._lock:
            left = self._standing.pop(address, 0) - 1
            if left > 0:
                self._standing[address] = left
