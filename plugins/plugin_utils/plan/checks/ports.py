# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports: each used by one service, and free on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from ..errors import PlanError, PlanWarning
from ..host.firewall import is_loopback, ssh_ports
from ..inputs.facts import Listener
from ..placement.disaggregation import HOST, side_channel
from ..placement.draft import HostDraft, ServiceDraft
from ..placement.node_units import RAY_BLOCK, ports as ports_of_node, unit_names, worker_ports
from .base import check

_ANY = frozenset({"0.0.0.0", "::", "*", ""})
_FIRST_FREE = 1024
_SSH = 22


@dataclass(frozen=True)
class _Port:
    """A port on which a service listens on this host, the key that sets it, and the units that may listen."""

    draft: ServiceDraft
    key: str
    number: int
    address: str
    units: tuple[str, ...]


def _ports(host: HostDraft) -> Iterator[_Port]:
    """All ports of a host's services. In a multi-node service only the head has the API port; all nodes have the ports from distributed.port on."""
    for draft in host.services:
        service = draft.service
        if service.port is not None and draft.answers:
            yield _Port(draft, "port", service.port, service.host, (service.unit,))
        if draft.placement is not None:
            for number in (*ports_of_node(draft.placement).values(), *worker_ports(draft.placement)):
                yield _Port(draft, "distributed.port", number, "", tuple(unit_names(draft)))
        for number in side_channel(draft):
            yield _Port(draft, "disaggregation.port", number, draft.environment.get(HOST, ""), tuple(unit_names(draft)))


def ports_of(host: HostDraft) -> tuple[_Port, ...]:
    """All ports of a host's services, for checks of other programs' ports."""
    return tuple(_ports(host))


@check(every_engine=True)
def ports_are_unique(host: HostDraft) -> Iterator[PlanError]:
    """No two services of a host have the same port."""
    owners: dict[int, _Port] = {}
    reported: set[tuple[int, int, str, str]] = set()
    for port in _ports(host):
        first = owners.setdefault(port.number, port)
        # Of two overlapping ranges only the first common port is reported.
        pair = (id(first.draft), id(port.draft), first.key, port.key)
        if first is port or pair in reported:
            continue
        reported.add(pair)
        who = first.draft.label if first.draft is not port.draft else "the service itself"
        where = "" if first.key == port.key == "port" else f" (its {first.key})"
        what = f"{who} on this host has the same port{where}"
        yield PlanError(host.name, port.draft.label, port.key, str(port.number), what, f"give each service of a host its own port{_range_hint(first, port)}")


def _range_hint(first: _Port, second: _Port) -> str:
    """How many ports a multi-node service needs, where one is involved."""
    if "distributed.port" not in (first.key, second.key):
        return ""
    return f"; Ray needs {RAY_BLOCK} ports from distributed.port on, mp needs 2"


@check()
def ports_are_not_ssh(host: HostDraft) -> Iterator[PlanError]:
    """No service uses a port of SSH."""
    for port in _ports(host):
        if _is_ssh(host, port.number):
            yield PlanError(host.name, port.draft.label, port.key, str(port.number), "this is SSH's port", f"choose another port from {_FIRST_FREE} to 65535")


def _is_ssh(host: HostDraft, port: int) -> bool:
    """Whether SSH listens on the port. Without facts of the host that is port 22."""
    return port == _SSH or port in ssh_ports(host)


@check(every_engine=True)
def ports_are_unprivileged(host: HostDraft) -> Iterator[PlanError]:
    """No service has a port below 1024: these need root, and no service runs as root."""
    for draft in host.services:
        port = draft.service.port
        if port is not None and port < _FIRST_FREE and not _is_ssh(host, port):
            why = f"only root may listen on ports below {_FIRST_FREE}, and no service runs as root"
            yield PlanError(host.name, draft.label, "port", str(port), why, f"choose a port from {_FIRST_FREE} to 65535")


@check(every_engine=True)
def ports_are_free(host: HostDraft) -> Iterator[PlanError]:
    """No other program listens on a service's port: only its own unit may, or one that this run removes."""
    if host.facts is None:
        return
    # All ports of a range with the same listener are one error.
    taken: dict[tuple[int, str, str], tuple[ServiceDraft, list[int]]] = {}
    leaving = {unit for service in host.absent for unit in (service.unit, f"ray-head-{service.name}.service", f"ray-worker-{service.name}.service")}
    for port in _ports(host):
        # Another check reports the ports of SSH, with a better fix than to stop it.
        for listener in () if _is_ssh(host, port.number) else host.facts.listeners:
            if listener.port != port.number or not _collide(port.address, listener.address):
                continue
            if listener.unit in port.units or listener.unit in leaving:
                continue
            taken.setdefault((id(port.draft), port.key, _who(listener)), (port.draft, []))[1].append(port.number)
            break
    for (_draft, key, who), (draft, numbers) in taken.items():
        what = f"{who} already listens on {'it' if len(numbers) == 1 else 'them'}"
        yield PlanError(host.name, draft.label, key, ", ".join(map(str, numbers)), what, "choose another port, or stop what listens there")


@check(every_engine=True)
def address_is_not_loopback(host: HostDraft) -> Iterator[PlanWarning]:
    """A service does not listen on the loopback address: only its own host could reach it."""
    for draft in host.services:
        if draft.answers and is_loopback(draft.service.host):
            yield PlanWarning(host.name, draft.label, f"it listens on {draft.service.host}, so only its own host can reach it")


@check()
def address_family_matches_the_host(host: HostDraft) -> Iterator[PlanError]:
    """A service on a host without IPv4 listens on IPv6: no client could reach 0.0.0.0."""
    if host.facts is None or not host.facts.lacks_ipv4:
        return
    for draft in host.services:
        address = draft.service.host
        if draft.answers and address.replace(".", "").isdigit() and not is_loopback(address):
            why = "the host has only IPv6 addresses, and the service would listen on IPv4"
            yield PlanError(host.name, draft.label, "host", address, why, 'write host: "::"')


def _collide(wanted: str, taken: str) -> bool:
    return wanted in _ANY or taken in _ANY or wanted == taken


def _who(listener: Listener) -> str:
    who = listener.unit or (f"process {listener.pid}" if listener.pid else "another process")
    return f"{who} (on {listener.address})" if listener.address else who
