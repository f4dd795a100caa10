# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A multi-node service as a whole: its hosts are complete, agree on its settings, and have the GPUs that it needs."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Union

from ..errors import PlanError, PlanWarning, did_you_mean, shown
from ..inputs.distributed import RAY
from ..inputs.run import Run
from ..models.architecture import Architecture
from ..models.parallel import Parallel
from ..placement.draft import over_hosts
from ..placement.layout import fits
from ..placement.multi_node import MultiNodeService, NodeDraft
from ..placement.node_sizes import are_uneven, gpu_counts
from ..vllm import arguments as args
from .base import multi_node_check
from .layout import blocks_are_refined

Finding = Union[PlanError, PlanWarning]


@multi_node_check
def node_count_matches_the_hosts(service: MultiNodeService, run: Run) -> Iterator[PlanError]:
    """As many hosts define the service as distributed.nodes says."""
    nodes = service.distributed.nodes
    have = len(service.node_drafts)
    if nodes is None or nodes == have or _differing(service, lambda node: _of(node).nodes) is not None:
        return
    there = f"{have} host{' defines' if have == 1 else 's define'} the service: {', '.join(service.hosts)}"
    if have < nodes:
        why = f"{there}; {nodes - have} more {'is' if nodes - have == 1 else 'are'} missing"
        fix = f"define the service for {nodes} hosts, in the variables of their group, or write nodes: {have}"
        fix = fix if have > 1 else fix.partition(", or write")[0]
    else:
        why = f"{there}; {have - nodes} too many"
        fix = f"remove it from {have - nodes} of them, write nodes: {have}, or define one service for each group of {nodes} hosts"
    yield PlanError(service.head.host.name, service.label, "distributed.nodes", str(nodes), why, fix)


@multi_node_check
def head_is_a_node(service: MultiNodeService, run: Run) -> Iterator[PlanError]:
    """distributed.head is one of the hosts of the service."""
    if _differing(service, lambda node: _of(node).head) is not None:
        return
    head = service.distributed.head
    if head is not None and head not in service.hosts:
        why = f"this host does not define the service; {', '.join(service.hosts)} {'does' if len(service.hosts) == 1 else 'do'}"
        fix = did_you_mean(head, service.hosts, "name one of them, or leave head out for the first host of the inventory")
        yield PlanError(service.head.host.name, service.label, "distributed.head", shown(head), why, fix)


@multi_node_check
def nodes_have_the_same_settings(service: MultiNodeService, run: Run) -> Iterator[Finding]:
    """All nodes have the same settings. Of settings that follow from each other only the first is reported."""
    for key, chain, fix in _ALIKE:
        may_differ = service.distributed.backend == RAY or over_hosts(service.head.draft.given)
        if key == "gpus" and may_differ and are_uneven([node.draft for node in service.node_drafts]):
            # A host with more GPUs has more data parallel ranks, or with Ray more pipeline stages.
            continue
        if key == "gpus" and (unknown := [node.host.name for node in service.node_drafts if node.draft.gpus is None]):
            if len(unknown) < len(service.node_drafts):
                yield _unknown_gpus(service, unknown)
            continue
        if key == "gpus" and may_differ:
            fix = "give it the same number of GPUs on each host, with gpus"
        for subkey, get in chain:
            found = _differing(service, get)
            if found is not None:
                yield _differs(service, subkey or key, found, fix)
                break
    for name in dict.fromkeys(name for node in service.node_drafts for name in node.draft.given):
        found = _differing(service, lambda node: node.draft.given.get(name), name)
        if found is not None:
            yield _differs(service, f"vllm_args.{name}", found, _BY_GROUP)
    if _differing(service, _gpu_count) is None and (found := _differing(service, _gpu_names)) is not None:
        hosts = ", ".join(service.hosts)
        yield PlanWarning(service.head.host.name, service.label, f"its nodes {hosts} have different GPUs ({_by_host(found)}): the slowest sets the pace")


def _gpu_count(node: NodeDraft) -> int | None:
    """Number of GPUs of the service on a host; None when unknown."""
    return node.draft.gpu_count if node.draft.gpus is not None else None


def _gpu_names(node: NodeDraft) -> str:
    used = set(node.draft.gpus or ())
    return ", ".join(sorted({gpu.name for gpu in node.host.gpus or () if gpu.index in used and gpu.name}))


def _of(node: NodeDraft) -> Any:
    return node.draft.service.distributed


_BY_GROUP = "define the service once, in the variables of the group of its hosts"
_SAME = f"write the same value on all of its hosts, or better: {_BY_GROUP}"

# Settings that have to be equal: the key, what to compare (in the order in which one follows from the other), and the fix.
_ALIKE: tuple[tuple[str, tuple[tuple[str, Callable[[NodeDraft], Any]], ...], str], ...] = (
    ("distributed.nodes", (("", lambda node: _of(node).nodes),), _SAME),
    ("distributed.backend", (("", lambda node: _of(node).backend), ("distributed.port", lambda node: _of(node).rendezvous_port)), _SAME),
    ("distributed.head", (("", lambda node: _of(node).head),), _SAME),
    (
        "vllm_version",
        (("", lambda node: node.draft.version.text), ("release", lambda node: node.draft.release.path)),
        "set vllm_version and the other vllm_ settings to the same values for all of its hosts, in the variables of their group",
    ),
    (
        "model",
        (
            ("", lambda node: node.draft.service.model),
            ("revision", lambda node: node.draft.weights.revision if node.draft.weights else None),
            ("weights_dir", lambda node: node.draft.weights.path if node.draft.weights else None),
        ),
        _SAME,
    ),
    ("port", (("", lambda node: node.draft.service.port),), _SAME),
    ("served_model_name", (("", lambda node: ", ".join(node.draft.service.served_model_names) or None),), _SAME),
    (
        "gpus",
        (("", _gpu_count),),
        "give it the same number of GPUs on each host, with gpus, since vLLM's own processes need that; or write distributed.backend: ray, where a host with "
        "more GPUs has more pipeline stages",
    ),
)


def _differing(service: MultiNodeService, get: Callable[[NodeDraft], Any], name: str = "") -> dict[str, list[str]] | None:
    """The different values of the hosts, each with its hosts; None when all hosts have the same value.

    :param name: name of the argument, so that secret values are not shown
    """
    by_host = [(node.host.name, get(node)) for node in service.node_drafts]
    if all(value == by_host[0][1] for _host, value in by_host):
        return None
    found: dict[str, list[str]] = {}
    for host, value in by_host:
        found.setdefault("nothing" if value is None else shown(value, name), []).append(host)
    return found


def _by_host(found: dict[str, list[str]]) -> str:
    return ", ".join(f"{value or 'unknown'} on {' and '.join(hosts)}" for value, hosts in found.items())


def _differs(service: MultiNodeService, key: str, found: dict[str, list[str]], fix: str) -> PlanError:
    value = ", ".join(found)
    return PlanError(service.head.host.name, service.label, key, value, f"all nodes need the same value, and it is {_by_host(found)}", fix)


def _unknown_gpus(service: MultiNodeService, unknown: list[str]) -> PlanError:
    """The error that the GPUs of some nodes are known, and those of others are not."""
    known = {node.host.name: _gpu_count(node) for node in service.node_drafts if node.draft.gpus is not None}
    value = ", ".join(dict.fromkeys(map(str, known.values())))
    which = f"{' and '.join(unknown)} {'is' if len(unknown) == 1 else 'are'}"
    why = f"all nodes need a known number of GPUs: it is {', '.join(f'{count} on {host}' for host, count in known.items())}, and that of {which} unknown"
    fix = f"state the GPUs of {' and '.join(unknown)} in plan_gpus, or name those of the service in gpus"
    return PlanError(service.head.host.name, service.label, "gpus", value, why, fix)


@multi_node_check
def node_addresses_are_unique(service: MultiNodeService, run: Run) -> Iterator[PlanError]:
    """Each node has its own address, at which the other nodes reach it."""
    owners: dict[str, str] = {}
    for node in service.head.draft.placement.nodes if service.head.draft.placement else ():
        key, fix = "ansible_host", "give each host its own address, or name a network with distributed.interface"
        if node.address == "localhost" or node.address.startswith("127.") or node.address == "::1":
            yield PlanError(node.host, service.label, key, node.address, "the other nodes of the service cannot reach it at this address", fix)
        elif node.address in owners:
            why = f"{owners[node.address]} has the same address, and each node needs a separate host"
            yield PlanError(node.host, service.label, key, shown(node.address), why, fix)
        owners.setdefault(node.address, node.host)


@multi_node_check
def ray_nodes_have_ipv4(service: MultiNodeService, run: Run) -> Iterator[PlanError]:
    """Ray nodes have IPv4 addresses: Ray over IPv6 is not tested."""
    if service.distributed.backend != RAY:
        return
    for node in service.head.draft.placement.nodes if service.head.draft.placement else ():
        if ":" in node.address:
            why = "the other nodes reach it over IPv6, and Ray over IPv6 is not supported here"
            fix = "write distributed.backend: mp; or name an interface with IPv4 in distributed.interface, or an IPv4 address in ansible_host"
            yield PlanError(node.host, service.label, "distributed.backend", RAY, why, fix)


@multi_node_check
def parallel_sizes_match_the_gpus_of_all_nodes(service: MultiNodeService, run: Run) -> Iterator[Finding]:
    """The parallel sizes use exactly the GPUs of all nodes, and no pipeline stage is split between hosts unevenly."""
    draft = service.head.draft
    nodes = service.distributed.nodes
    each = _gpu_count(service.head)
    wanted = draft.world_size()
    if not each or nodes is None or wanted is None or over_hosts(draft.given):
        # Data parallel over hosts has its own check.
        return
    if _differing(service, _gpu_count) is not None:
        yield from _uneven_nodes(service, wanted)
        return
    tensor, pipeline = (args.size(draft.arguments, key) or 1 for key in ("tensor_parallel_size", "pipeline_parallel_size"))
    stage = wanted // pipeline
    sizes = f"tensor_parallel_size {tensor} x pipeline_parallel_size {pipeline}"
    for key in ("prefill_context_parallel_size", "data_parallel_size"):
        other = args.size(draft.arguments, key)
        sizes += f" x {key} {other}" if other != 1 else ""
    value = f"{each} on each of {nodes} hosts"
    usual = _usual_sizes(service, each, nodes)
    if wanted != each * nodes:
        why = f"{sizes} is {wanted} GPUs and the service has {each * nodes}"
        fix = f"{usual}, or choose the GPUs of each host with gpus"
        yield PlanError(service.head.host.name, service.label, "gpus", value, why, fix)
    elif each % stage and stage % each:
        why = f"a stage of {stage} GPUs neither fits into a host with {each} GPUs nor spans whole hosts"
        yield PlanError(service.head.host.name, service.label, "vllm_args.tensor_parallel_size", str(tensor), why, usual)
    elif stage > each:
        what = f"{sizes} runs tensor parallel across hosts, with traffic between them in every layer, which needs a very fast network"
        yield PlanWarning(service.head.host.name, service.label, f"{what}; {usual}")


def _uneven_nodes(service: MultiNodeService, wanted: int) -> Iterator[PlanError]:
    """On Ray, nodes with different numbers of GPUs: whole stages on each of them, all of one size, and no GPU left."""
    drafts = [node.draft for node in service.node_drafts]
    draft, counts = drafts[0], gpu_counts(drafts)
    if service.distributed.backend != RAY or not are_uneven(drafts):
        return
    pipeline = args.size(draft.arguments, "pipeline_parallel_size") or 1
    stage, tensor = wanted // pipeline, args.size(draft.arguments, "tensor_parallel_size") or 1
    there = ", ".join(f"{count} on {host}" for count, host in zip(counts, service.hosts))
    divides = [size for size in range(1, min(counts) + 1) if all(count % size == 0 for count in counts)]
    model, refines = draft.entry.architecture if draft.entry else Architecture(), blocks_are_refined(service.head.host, draft)
    fitting = [size for size in divides if fits(model, Parallel(size, sum(counts) // size), refines)] or divides
    fix = f"write tensor_parallel_size: {fitting[-1]}, leave the other parallel sizes out, or choose the GPUs of each host with gpus"
    odd = [f"{count} of {host}" for count, host in zip(counts, service.hosts) if count % stage]
    if odd:
        same = f"each pipeline stage has {stage} GPUs, the same number in all stages since vLLM has one tensor_parallel_size"
        why = f"{same}, and the GPUs do not divide by it: {', '.join(odd)}"
        yield PlanError(service.head.host.name, service.label, "vllm_args.tensor_parallel_size", str(tensor), why, fix)
    elif wanted != sum(counts):
        why = f"tensor_parallel_size {tensor} x pipeline_parallel_size {pipeline} is {wanted} GPUs and the service has {sum(counts)}"
        yield PlanError(service.head.host.name, service.label, "gpus", there, why, fix)


def _usual_sizes(service: MultiNodeService, each: int, nodes: int) -> str:
    """How to use all GPUs: the default sizes where the model divides by them, else the largest tensor parallel size within a host."""
    draft = service.head.draft
    model, refines = draft.entry.architecture if draft.entry else Architecture(), blocks_are_refined(service.head.host, draft)
    ways = [Parallel(size, each * nodes // size) for size in range(each, 0, -1) if each % size == 0]
    way = next((way for way in ways if fits(model, way, refines)), ways[0])
    if way == ways[0]:
        return f"leave the parallel sizes out for {each} x {nodes}"
    return f"write tensor_parallel_size: {way.tensor} and pipeline_parallel_size: {way.pipeline}, and leave the other parallel sizes out"


@multi_node_check
def run_includes_all_nodes(service: MultiNodeService, run: Run) -> Iterator[PlanError]:
    """A run includes all nodes of a service or none: an incomplete service cannot run."""
    if run.hosts is None:
        return
    missing = [name for name in service.hosts if name not in run.hosts]
    there = [name for name in service.hosts if name in run.hosts]
    if missing and there:
        who = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in this run"
        why = f"{who}, because of its limit or an earlier failure; a multi-node service needs all of its hosts"
        fix = f"limit the run to all hosts of the service, -l {','.join(service.hosts)}, or to none of them"
        yield PlanError(service.head.host.name, service.label, "limit", ",".join(there), why, fix)


@multi_node_check
def hostnames_are_unique(service: MultiNodeService, run: Run) -> Iterator[PlanError]:
    """The nodes have different hostnames: otherwise logs are ambiguous, and one host may be in the inventory twice."""
    owners: dict[str, str] = {}
    for node in service.node_drafts:
        name = node.host.facts.hostname if node.host.facts is not None else ""
        if name and name in owners:
            why = f"{owners[name]} has the same hostname ({name}), and each node needs a separate host"
            yield PlanError(node.host.name, service.label, "hostname", name, why, "check that these are two hosts, and set their names with hostnamectl")
        owners.setdefault(name, node.host.name)
