# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall lets in whom it should, and locks nobody out."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, PlanWarning
from ..host.firewall import is_address, is_open
from ..inputs.run import Run
from ..inputs.settings import networks
from ..placement.draft import HostDraft
from ..placement.multi_node import Cluster
from .base import check, multi_node_check

_OFF = "firewall_enabled: false leaves the host's firewall alone"


@check()
def no_other_firewall_manager_is_active(host: HostDraft) -> Iterator[PlanError]:
    """Nobody else manages the host's firewall: two at once take each other's rules away."""
    if host.settings.firewall_enabled and host.facts is not None:
        for other in host.facts.firewall.others:
            why = f"{other}, and two managers of one firewall take each other's rules away; nothing of it was touched"
            fix = f"{_OFF}, whose own manager then has to open the ports; or take that manager off the host"
            yield PlanError(host.name, "", "firewall_enabled", "true", why, fix)


@check()
def allowed_sources_are_set(host: HostDraft) -> Iterator[PlanError]:
    """Nobody would reach services, or the host, without a source."""
    settings = host.settings
    if not settings.firewall_enabled:
        return
    if not settings.firewall_api_sources and any(is_open(draft) for draft in host.services):
        why = "nobody would reach the services"
        yield PlanError(host.name, "", "firewall_api_sources", "[]", why, f"name the networks that may, like [10.0.0.0/8]; {_OFF}")
    if not settings.firewall_ssh_sources:
        yield PlanError(host.name, "", "firewall_ssh_sources", "[]", "nobody would reach the host by SSH", f"name the networks that may, or write [any]; {_OFF}")


@check()
def controller_is_an_allowed_source(host: HostDraft) -> Iterator[PlanError]:
    """The address from which this run comes is one of those that SSH is open to."""
    settings = host.settings
    client = host.facts.firewall.client if host.facts is not None else ""
    if not settings.firewall_enabled or not client or not settings.firewall_ssh_sources or not is_address(client):
        return
    if not networks.contain((*settings.firewall_ssh_sources, "127.0.0.0/8", "::1/128"), client):
        shown = f"[{', '.join(settings.firewall_ssh_sources)}]"
        why = f"this run reaches the host from {client}, which is not among them, and would shut itself out"
        yield PlanError(host.name, "", "firewall_ssh_sources", shown, why, f"add {client} or its network")


@check(accept="public-access")
def public_services_have_an_api_key(host: HostDraft) -> Iterator[PlanError]:
    """What everybody reaches asks for a key."""
    settings = host.settings
    if not settings.firewall_enabled or not networks.hold_everybody(settings.firewall_api_sources):
        return
    for draft in host.services:
        if is_open(draft) and not draft.service.has_api_key:
            shown = f"[{', '.join(settings.firewall_api_sources)}]"
            why = "everybody would reach the service, which has no api_key"
            yield PlanError(host.name, draft.label, "firewall_api_sources", shown, why, "give the service an api_key, or name the networks that may reach it")


@multi_node_check
def node_addresses_are_ip_addresses(cluster: Cluster, run: Run) -> Iterator[PlanError]:
    """The nodes of a service are known by their addresses, which is all that a firewall knows of them. What a host has is known once it was asked."""
    for member in cluster.members:
        node = member.draft.part.node if member.draft.part is not None else None
        asked = member.host.facts is not None and bool(member.host.facts.interfaces)
        # An interface that is named has an address, or is not there, which another rule tells.
        named = member.draft.service.distributed is not None and member.draft.service.distributed.interface is not None
        if node is None or not asked or named or is_address(node.address) or not member.host.settings.firewall_enabled:
            continue
        why = f"the other nodes' firewalls let {node.host} in by its address, and {node.address} is a name"
        fix = "give it an IP address as ansible_host, or name the network interface with distributed.interface"
        yield PlanError(node.host, cluster.label, "ansible_host", node.address, why, fix)


@check(accept="published-ports")
def containers_publish_no_ports(host: HostDraft) -> Iterator[PlanWarning]:
    """Ports that containers publish are open whatever UFW says."""
    if not host.settings.firewall_enabled or host.facts is None or not host.facts.firewall.published:
        return
    published = host.facts.firewall.published
    ours = {draft.service.port: draft for draft in host.services if draft.answers}
    for port in published:
        if port in ours:
            what = f"a container publishes port {port}: it answers there instead of the service, and to everybody, whatever the firewall says"
            yield PlanWarning(host.name, ours[port].label, f"{what}; publish the container's port elsewhere, or on 127.0.0.1")
    rest = [str(port) for port in published if port not in ours]
    if rest:
        named = f"port{'' if len(rest) == 1 else 's'} {', '.join(rest)}"
        what = f"containers publish {named}, which the firewall does not see and so leaves open to everybody"
        yield PlanWarning(host.name, "", f"{what}; publish on 127.0.0.1 what is not for everybody")


@check()
def last_firewall_change_was_confirmed(host: HostDraft) -> Iterator[PlanWarning]:
    """A change that shut the controller out, and was taken back, is told of before it is tried again."""
    if host.settings.firewall_enabled and host.facts is not None and host.facts.firewall.returned:
        what = "the last change of its firewall was taken back, since no new connection came through to confirm it"
        yield PlanWarning(host.name, "", f"{what} ({host.facts.firewall.returned}); it is tried again")
