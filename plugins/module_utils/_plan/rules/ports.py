# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports: one service each, and nobody else's."""

from __future__ import annotations

from typing import Iterator

from ..draft import HostDraft
from ..facts import Listener
from ..faults import Fault, Notice

_ANY = frozenset({"0.0.0.0", "::", "*", ""})
_FIRST_FREE = 1024
_LOOPBACK = ("127.", "::1", "localhost")


def ports_are_unique(host: HostDraft) -> Iterator[Fault]:
    """No two services of a host have one port."""
    by_port: dict[int, list[str]] = {}
    for draft in host.services:
        if draft.service.port is not None:
            by_port.setdefault(draft.service.port, []).append(draft.label)
    for port, labels in by_port.items():
        for label in labels[1:]:
            yield Fault(host.name, label, "port", str(port), f"{labels[0]} on this host has the same port", "give each service of a host its own port")


def ports_need_no_root(host: HostDraft) -> Iterator[Fault]:
    """Ports below 1024 are root's, and no service runs as root."""
    for draft in host.services:
        port = draft.service.port
        if port is not None and port < _FIRST_FREE:
            why = f"only root may listen on ports below {_FIRST_FREE}, and no service runs as root"
            yield Fault(host.name, draft.label, "port", str(port), why, f"choose a port from {_FIRST_FREE} to 65535")


def ports_are_free(host: HostDraft) -> Iterator[Fault]:
    """Nobody else listens on a service's port: only its own unit may, or one that this run removes."""
    if host.facts is None:
        return
    leaving = {service.unit for service in host.absent}
    for draft in host.services:
        service = draft.service
        for listener in host.facts.listeners:
            if listener.port != service.port or not _collide(service.host, listener.address):
                continue
            if listener.unit == service.unit or listener.unit in leaving:
                continue
            yield Fault(
                host.name,
                draft.label,
                "port",
                str(service.port),
                f"{_who(listener)} listens on it already",
                "choose another port, or stop what listens there",
            )
            break


def address_is_reachable(host: HostDraft) -> Iterator[Notice]:
    """A service on the loopback address answers nobody but its own host."""
    for draft in host.services:
        if draft.service.host.startswith(_LOOPBACK):
            yield Notice(host.name, draft.label, f"it listens on {draft.service.host} and can be reached from its own host only")


def _collide(wanted: str, taken: str) -> bool:
    return wanted in _ANY or taken in _ANY or wanted == taken


def _who(listener: Listener) -> str:
    who = listener.unit or (f"process {listener.pid}" if listener.pid else "another process")
    return f"{who} (on {listener.address})" if listener.address else who
