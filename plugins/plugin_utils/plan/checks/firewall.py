# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall allows the configured sources and does not lock out the controller."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, PlanWarning
from ..host.firewall import is_address, is_open
from ..inputs.run import Run
from ..inputs.settings import networks
from ..placement.draft import HostDraft
from ..placement.multi_node import MultiNodeService
from .base import check, multi_node_check

_OFF = "firewall_enabled: false leaves the host's firewall alone"


@check()
def no_other_firewall_manager_is_active(host: HostDraft) -> Iterator[PlanError]:
    """No other firewall manager is active on the host: two managers would delete each other's rules."""
    if host.settings.firewall_enabled and host.facts is not None:
        for other in host.facts.firewall.others:
            why = f"{other}, and two firewall managers delete each other's rules; the firewall was not changed"
            fix = f"{_OFF}, and the other manager has to open the ports; or remove the other manager from the host"
            yield PlanError(host.name, "", "firewall_enabled", "true", why, fix)


@check()
def allowed_sources_are_set(host: HostDraft) -> Iterator[PlanError]:
    """Allowed sources are set for services and for SSH: without them no client could connect."""
    settings = host.settings
    if not settings.firewall_enabled:
        return
    if not settings.firewall_api_sources and any(is_open(draft) for draft in host.services):
        why = "no client could reach the services"
        yield PlanError(host.name, "", "firewall_api_sources", "[]", why, f"name the allowed networks, like [10.0.0.0/8]; {_OFF}")
    if not settings.firewall_ssh_sources:
        why = "no client could reach the host by SSH"
        yield PlanError(host.name, "", "firewall_ssh_sources", "[]", why, f"name the allowed networks, or write [any]; {_OFF}")


@check()
def controller_is_an_allowed_source(host: HostDraft) -> Iterator[PlanError]:
    """The controller's address is an allowed source of SSH."""
    settings = host.settings
    client = host.facts.firewall.client if host.facts is not None else ""
    if not settings.firewall_enabled or not client or not settings.firewall_ssh_sources or not is_address(client):
        return
    if not networks.contain((*settings.firewall_ssh_sources, "127.0.0.0/8", "::1/128"), client):
        shown = f"[{', '.join(settings.firewall_ssh_sources)}]"
        why = f"this run reaches the host from {client}, which is not an allowed source, and would lock itself out"
        yield PlanError(host.name, "", "firewall_ssh_sources", shown, why, f"add {client} or its network")


@check(accept="public-access")
def public_services_have_an_api_key(host: HostDraft) -> Iterator[PlanError]:
    """Services that any source can reach have an API key."""
    settings = host.settings
    if not settings.firewall_enabled or not networks.cover_all_addresses(settings.firewall_api_sources):
        return
    for draft in host.services:
        if is_open(draft) and not draft.service.has_api_key:
            shown = f"[{', '.join(settings.firewall_api_sources)}]"
            why = "any source could reach the service, which has no api_key"
            yield PlanError(host.name, draft.label, "firewall_api_sources", shown, why, "give the service an api_key, or name the allowed networks")


@multi_node_check
def node_addresses_are_ip_addresses(service: MultiNodeService, run: Run) -> Iterator[PlanError]:
    """The nodes of a service have IP addresses, which their firewalls need. A host's addresses are known with its facts."""
    for node_draft in service.node_drafts:
        node = node_draft.draft.placement.node if node_draft.draft.placement is not None else None
        asked = node_draft.host.facts is not None and bool(node_draft.host.facts.interfaces)
        # A named interface has an address; another check reports a missing interface.
        named = node_draft.draft.service.distributed is not None and node_draft.draft.service.distributed.interface is not None
        if node is None or not asked or named or is_address(node.address) or not node_draft.host.settings.firewall_enabled:
            continue
        why = f"the firewalls of the other nodes need the IP address of {node.host}, and {node.address} is a name"
        fix = "set ansible_host to an IP address, or name the network interface in distributed.interface"
        yield PlanError(node.host, service.label, "ansible_host", node.address, why, fix)


@check(accept="published-ports")
def containers_publish_no_ports(host: HostDraft) -> Iterator[PlanWarning]:
    """Containers publish no ports: published ports bypass UFW."""
    if not host.settings.firewall_enabled or host.facts is None or not host.facts.firewall.published:
        return
    published = host.facts.firewall.published
    ours = {draft.service.port: draft for draft in host.services if draft.answers}
    for port in published:
        if port in ours:
            what = f"a container publishes port {port}: it answers instead of the service, and to any source, since it bypasses the firewall"
            yield PlanWarning(host.name, ours[port].label, f"{what}; publish the container on another port, or on 127.0.0.1")
    rest = [str(port) for port in published if port not in ours]
    if rest:
        named = f"port{'' if len(rest) == 1 else 's'} {', '.join(rest)}"
        what = f"containers publish {named}, which bypasses the firewall and stays open to any source"
        yield PlanWarning(host.name, "", f"{what}; publish private ports on 127.0.0.1")


@check()
def last_firewall_change_was_confirmed(host: HostDraft) -> Iterator[PlanWarning]:
    """The last firewall change was confirmed: a change that was rolled back is reported before the run tries it again."""
    if host.settings.firewall_enabled and host.facts is not None and host.facts.firewall.returned:
        what = "the host rolled back the last firewall change, since no new connection confirmed it"
        yield PlanWarning(host.name, "", f"{what} ({host.facts.firewall.returned}); this run tries it again")
