# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prefill and decode apart: the two services pair up, and vLLM's NixlConnector can transfer between them."""

from __future__ import annotations

from typing import Any, Iterator

from ..errors import HIDDEN, PlanError, shown
from ..host.firewall import is_address
from ..inputs.disaggregation import DECODE, KV_ROLES, PREFILL, Disaggregation
from ..models.parallel import parallel_of
from ..placement import kv_compatibility
from ..placement.disaggregation import HOST, PORT, Counterpart, side_channel
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm import arguments as args
from ..vllm.kv_transfer import CONNECTOR, KEY, NIXL, ROLE
from .base import check

_OTHER = {PREFILL: DECODE, DECODE: PREFILL}


def _wanting(host: HostDraft) -> Iterator[tuple[ServiceDraft, Disaggregation]]:
    """Services with a valid C(disaggregation)."""
    for draft in host.services:
        wanted = draft.service.disaggregation
        if wanted is not None and wanted.role is not None and wanted.peers is not None:
            yield draft, wanted


@check()
def disaggregated_services_pair_up(host: HostDraft) -> Iterator[PlanError]:
    """Of a pair each service names the other, and one is for prefill and one for decode."""
    for draft, wanted in _wanting(host):
        role, name = str(wanted.role), str(draft.service.name)
        if wanted.peers == name:
            why, fix = "this is the service itself", f"name the service with role {_OTHER[role]}"
            yield PlanError(host.name, draft.label, "disaggregation.peers", name, why, fix)
            continue
        if not draft.counterparts:
            why, fix = "no host of the inventory has a service of this name", f"define it, with disaggregation: {{role: {_OTHER[role]}, peers: {name}}}"
            yield PlanError(host.name, draft.label, "disaggregation.peers", str(wanted.peers), why, fix)
            continue
        for other in draft.counterparts:
            theirs = other.draft.service.disaggregation
            if theirs is None or theirs.peers != name:
                why = f"{wanted.peers} on {other.host} does not name this service in return"
                fix = f"write disaggregation: {{role: {_OTHER[role]}, peers: {name}}} there"
                yield PlanError(host.name, draft.label, "disaggregation.peers", str(wanted.peers), why, fix)
                break
            if theirs.role == role:
                why = f"{wanted.peers} on {other.host} has the same role"
                fix = "write role: prefill for one of the two, and role: decode for the other"
                yield PlanError(host.name, draft.label, "disaggregation.role", role, why, fix)
                break


@check(accept="kv-transfer")
def disaggregated_services_are_compatible(host: HostDraft) -> Iterator[PlanError]:
    """A decode service takes KV caches of its prefill service: both have the same vLLM, weights and cache, and sizes that divide."""
    for draft, wanted in _wanting(host):
        # Reported once, at the decode service.
        if wanted.role != DECODE:
            continue
        for other in draft.counterparts:
            theirs = other.draft.service.disaggregation
            if theirs is None or theirs.role != PREFILL or theirs.peers != draft.service.name:
                continue
            found = next(_differences(draft, other), None)
            if found is not None:
                key, value, why, fix = found
                yield PlanError(host.name, draft.label, key, value, why, fix)
                break


def _differences(draft: ServiceDraft, other: Counterpart) -> Iterator[tuple[str, str, str, str]]:
    """Key, value, reason and fix of what the connector would refuse."""
    who = f"its prefill service {other.draft.label} on {other.host}"
    for key, mine, theirs in kv_compatibility.differences(draft, other.draft):
        why = f"{who} has {_shown(theirs, key)}, and vLLM refuses to transfer a KV cache between two that differ in it"
        yield key, _shown(mine, key), why, f"write the same {key.rpartition('.')[2]} for both"
    here, there = parallel_of(draft.arguments), parallel_of(other.draft.arguments)
    if here is not None and there is not None and here.tensor % there.tensor and there.tensor % here.tensor:
        why = f"{who} has {there.tensor}, and one of the two has to divide by the other"
        yield "vllm_args.tensor_parallel_size", str(here.tensor), why, "write the same tensor_parallel_size for both, or one that divides by the other"
    model = draft.entry.architecture if draft.entry is not None else None
    heads = model.num_kv_heads if model is not None and model.mla is None and not model.state_bytes else None
    if here is not None and there is not None and heads and there.tensor > max(here.tensor, heads):
        why = f"{who} has {there.tensor}, more than the model's {heads} KV heads and than this service has"
        fix = f"write tensor_parallel_size: {there.tensor} for both, or {heads} or less for the prefill service"
        yield "vllm_args.tensor_parallel_size", str(here.tensor), why, fix
    own, block = args.number(draft.given, "block_size"), args.number(other.draft.given, "block_size")
    if own and block and own % block:
        why = f"{who} has {block}, and the decode service's has to be a multiple of that"
        yield "vllm_args.block_size", str(own), why, "write the same block_size for both"
    if here is not None and here.prefill_context > 1:
        why = "the connector supports prefill context parallel for prefill only"
        yield "vllm_args.prefill_context_parallel_size", str(here.prefill_context), why, "remove it from the decode service"


def _shown(value: Any, key: str) -> str:
    return "nothing" if value is None else shown(value, key)


@check()
def disaggregation_is_not_set_by_hand(host: HostDraft) -> Iterator[PlanError]:
    """The plan sets the connector, the role and the side channel of a service with C(disaggregation)."""
    for draft, wanted in _wanting(host):
        for member, right in ((CONNECTOR, NIXL), (ROLE, KV_ROLES[str(wanted.role)])):
            value = args.member(draft.given, KEY, member)
            if value != right:
                why = f"disaggregation sets it to {right}"
                yield PlanError(host.name, draft.label, f"vllm_args.{KEY}.{member}", shown(value), why, f"remove {member}, or disaggregation")
        hidden = dict.fromkeys(draft.service.secret_names, HIDDEN)
        layers = {"environment": draft.service.environment, "secret_environment": hidden, "model_service_environment": host.settings.model_service_environment}
        for key, layer in layers.items():
            for name in (HOST, PORT):
                if layer.get(name) is not None:
                    fix = "remove it, and set disaggregation.port" if name == PORT else "remove it: each host has its own address"
                    yield PlanError(host.name, draft.label, f"{key}.{name}", shown(layer[name], name), "the plan sets it for disaggregation", fix)


@check()
def vllm_version_supports_disaggregation(host: HostDraft) -> Iterator[PlanError]:
    """The vLLM version has NixlConnector, which its side channel's variables show."""
    for draft, _wanted in _wanting(host):
        answer = host.flags.ask("environment", HOST, draft.version)
        if answer.state == "not yet":
            why = f"vLLM has NixlConnector since {answer.since}, and this is {draft.version.text}"
            yield PlanError(host.name, draft.label, "disaggregation", str(_wanted.role), why, f"set vllm_version to {answer.since} or newer")


@check()
def side_channel_ports_are_in_range(host: HostDraft) -> Iterator[PlanError]:
    """All ports of the side channel are valid."""
    for draft, wanted in _wanting(host):
        ports = side_channel(draft)
        if ports and ports[-1] > 65535:
            why = f"its data parallel ranks on this host need the ports from {ports[0]} to {ports[-1]}, and the last port is 65535"
            yield PlanError(host.name, draft.label, "disaggregation.port", str(wanted.port), why, "choose a lower port, preferably below 32768")


@check()
def counterparts_have_ip_addresses(host: HostDraft) -> Iterator[PlanError]:
    """The hosts of a pair have IP addresses, which the side channel listens on and the firewall needs. They are known with a host's facts."""
    for draft, _wanted in _wanting(host):
        address = draft.environment.get(HOST, "")
        if host.facts is not None and host.facts.interfaces and draft.counterparts and not is_address(address):
            why = "the side channel listens on it, which takes an IP address, and so does the firewall of the other host"
            yield PlanError(host.name, draft.label, "ansible_host", address, why, "set ansible_host to an IP address")
