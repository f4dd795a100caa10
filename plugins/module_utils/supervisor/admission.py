# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits how many unauthenticated connections the leader holds open: each of them has a thread until it authenticates or times out."""

from __future__ import annotations

import threading

# Limits for one address and for all addresses. A worker needs one connection at a time; the engine beside the leader has the leader's address.
MAX_PER_ADDRESS = 8
MAX_TOTAL = 128


class Admission:
    """Counts unauthenticated connections by address. Several threads use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[str, int] = {}

    def enter(self, address: str) -> str:
        """Count a connection; return which limit it exceeds, or an empty text. Call C(leave) only for a connection that was counted."""
        with self._lock:
            if self._pending.get(address, 0) >= MAX_PER_ADDRESS:
                return f"{MAX_PER_ADDRESS} connections from this address have not authenticated yet"
            if sum(self._pending.values()) >= MAX_TOTAL:
                return f"{MAX_TOTAL} connections have not authenticated yet"
            self._pending[address] = self._pending.get(address, 0) + 1
            return ""

    def leave(self, address: str) -> None:
        """A connection has authenticated or was closed."""
        with self._lock:
            left = self._pending.pop(address, 0) - 1
            if left > 0:
                self._pending[address] = left
