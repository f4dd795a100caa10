# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs: present and healthy, each assigned once, and as many as the parallel sizes need."""

from __future__ import annotations

from collections import Counter
from typing import Iterator, Union

from ansible_collections.inferops.gpu.plugins.module_utils._nvidia import fix_of, gpu_fix

from ..errors import PlanError, PlanWarning, shown
from ..placement.draft import HostDraft, ServiceDraft
from ..placement.sizing import utilization_of
from ..vllm import arguments as args
from ..vllm.engines import VLLM
from ..vllm.rocm import is_rocm_build
from .base import check

Finding = Union[PlanError, PlanWarning]

# Arguments that are parallel sizes.
SIZES = ("tensor_parallel_size", "pipeline_parallel_size", "prefill_context_parallel_size", "data_parallel_size", "data_parallel_size_local")


def _wants_gpus(draft: ServiceDraft) -> bool:
    """Whether a service uses GPUs: a CPU build does so only for the plan, where the user names them."""
    return draft.service.gpus is not None or not draft.on_cpu


@check(every_engine=True)
def gpus_are_detected(host: HostDraft) -> Iterator[Finding]:
    """The host has GPUs where services need them."""
    wanting = [draft for draft in host.services if _wants_gpus(draft)]
    if host.facts is None:
        for draft in wanting:
            if draft.engine == VLLM and draft.gpus is None and "tensor_parallel_size" not in draft.given:
                yield PlanWarning(host.name, draft.label, "the plan does not know the host's GPUs, so tensor_parallel_size is 1; state the GPUs in plan_gpus")
        return
    if not wanting:
        return
    if host.facts.gpu_error and host.settings.cuda_driver_install and host.gpus_are_stated:
        yield PlanWarning(host.name, "", f"nvidia-smi fails on the host ({shown(host.facts.gpu_error)}); this run installs a driver, which should fix it")
    elif host.facts.gpu_error:
        yield PlanError(
            host.name,
            "",
            "gpus",
            shown(host.facts.gpu_error),
            "nvidia-smi fails on the host",
            fix_of(host.facts.gpu_error),
        )
    elif host.facts.amd.error and not host.facts.gpus and not _nvidia_is_stated(host):
        yield PlanError(host.name, "", "gpus", shown(host.facts.amd.error), "the host cannot report its AMD GPUs", host.facts.amd.fix)
    elif not host.facts.gpus and not host.gpus_are_stated:
        for draft in wanting:
            value = "all" if draft.service.gpus is None else shown(list(draft.service.gpus))
            why = "neither nvidia-smi nor amd-smi finds a GPU on the host"
            fix = "install the driver first, or state the GPUs in plan_gpus (and let the role install the driver with cuda_driver_install)"
            yield PlanError(host.name, draft.label, "gpus", value, why, fix)


def _nvidia_is_stated(host: HostDraft) -> bool:
    """Whether the user states GPUs that are not AMD's. Those without a name are AMD's where a service has a build for ROCm."""
    return host.gpus_are_stated and bool(host.gpus) and not host.is_amd and not any(is_rocm_build(draft.version) for draft in host.services)


@check(every_engine=True)
def gpus_exist(host: HostDraft) -> Iterator[PlanError]:
    """Each GPU that a service names exists and is named once."""
    for draft in host.services:
        named = draft.service.gpus
        if named is None:
            continue
        value = shown(list(named))
        twice = [str(index) for index, count in Counter(named).items() if count > 1]
        if twice:
            yield PlanError(host.name, draft.label, "gpus", value, f"GPU {', '.join(twice)} is named more than once", "name each GPU once")
        if not host.gpus:
            continue
        there = [gpu.index for gpu in host.gpus]
        missing = [str(index) for index in dict.fromkeys(named) if index not in there]
        if missing:
            why = f"the host has no GPU {', '.join(missing)}"
            yield PlanError(host.name, draft.label, "gpus", value, why, f"choose among {', '.join(str(index) for index in there)}")


@check(every_engine=True)
def gpus_are_healthy(host: HostDraft) -> Iterator[PlanError]:
    """No service uses a GPU that is lost or needs a reset: CUDA would find fewer GPUs, or none."""
    for draft in host.services:
        used = set(draft.gpus or ())
        for gpu in host.gpus or ():
            if gpu.index in used and gpu.error and _wants_gpus(draft):
                why = f"GPU {gpu.index}{f' ({shown(gpu.name)})' if gpu.name else ''} does not work: nvidia-smi reports {shown(gpu.error)}"
                others = [str(other.index) for other in host.gpus or () if not other.error and not other.split and other.parent is None]
                instead = f"; or choose other GPUs with gpus (working: {', '.join(others)})" if others else ""
                yield PlanError(host.name, draft.label, "gpus", _value(draft), why, gpu_fix(gpu.error, str(gpu.index)) + instead)


@check(every_engine=True)
def mig_gpus_are_named_by_slice(host: HostDraft) -> Iterator[PlanError]:
    """A service on a GPU split by MIG names one slice by its UUID: CUDA gives a process one slice, not the whole GPU."""
    for draft in host.services:
        if not _wants_gpus(draft):
            continue
        by_index = {gpu.index: gpu for gpu in host.gpus or ()}
        named = draft.service.gpus
        split = [gpu for gpu in by_index.values() if gpu.split and (named is None or gpu.index in named)]
        slices = [item for item in named or () if isinstance(item, str)]
        parts = [str(gpu.index) for gpu in by_index.values() if gpu.parent is not None and (not split or gpu.parent in [one.index for one in split])]
        offered = f"name one slice: gpus: [{parts[0]}]{f' (of {len(parts)}, see nvidia-smi -L)' if len(parts) > 1 else ''}" if parts else (
            "create slices with nvidia-smi mig -cgi … -C and name one by its UUID in gpus"
        )
        if split:
            which = ", ".join(str(gpu.index) for gpu in split)
            why = f"GPU {which} is split by MIG, and a process can use only one of its slices"
            yield PlanError(host.name, draft.label, "gpus", _value(draft), why, f"{offered}; or turn MIG off: nvidia-smi -i {which} -mig 0")
        if slices and (len(set(named or ())) > 1 or draft.is_distributed):
            why = "CUDA gives a process one MIG slice, and slices cannot communicate, so a service cannot span several of them"
            fix = f"name one slice: gpus: [{slices[0]}], on one host, or whole GPUs"
            yield PlanError(host.name, draft.label, "gpus", _value(draft), why, fix)


def _value(draft: ServiceDraft) -> str:
    return "all" if draft.service.gpus is None else shown(list(draft.service.gpus))


@check(every_engine=True)
def gpus_are_assigned_once(host: HostDraft) -> Iterator[Finding]:
    """No two services use the same GPU, since each takes nearly all of its memory, unless all of them set their share and the sum fits."""
    owners: dict[int | str, str] = {}
    shares = _stated_shares(host)
    all_of_unknown = ""
    for draft in host.services:
        if not _wants_gpus(draft):
            continue
        if draft.gpus is None:
            if all_of_unknown:
                why = f"{all_of_unknown} on this host takes all GPUs as well"
                yield PlanError(host.name, draft.label, "gpus", "all", why, "give each service of a host its own gpus")
            all_of_unknown = all_of_unknown or draft.label
            continue
        taken: dict[str, list[int | str]] = {}
        for index in dict.fromkeys(draft.gpus):
            if index in shares:
                continue
            if index in owners:
                taken.setdefault(owners[index], []).append(index)
            else:
                owners[index] = draft.label
        for owner, indexes in taken.items():
            value = "all" if draft.service.gpus is None else shown(list(draft.service.gpus))
            why = f"{owner} on this host uses GPU {', '.join(str(index) for index in indexes)} as well"
            share = "let them share it: set gpu_memory_utilization in the vllm_args of each, 1 at most in total"
            fix = f"give each service of a host its own gpus; or {share}"
            yield PlanError(host.name, draft.label, "gpus", value, why, fix)
    yield from _shared_gpus(host, shares)


def _stated_shares(host: HostDraft) -> dict[int | str, list[str]]:
    """GPUs that several services share explicitly, with those services: each sets its share of the memory, and the sum is 1 at most."""
    users: dict[int | str, list[ServiceDraft]] = {}
    for draft in host.services:
        if _wants_gpus(draft):
            for index in dict.fromkeys(draft.gpus or ()):
                users.setdefault(index, []).append(draft)
    shares: dict[int | str, list[str]] = {}
    for index, drafts in users.items():
        stated = [utilization_of(draft) for draft in drafts if "gpu_memory_utilization" in draft.given]
        known = [share for share in stated if share is not None]
        # Decimal fractions may add up to slightly more than 1.
        if len(drafts) > 1 and len(known) == len(drafts) and sum(known) < 1 + 1e-9:
            shares[index] = [draft.label for draft in drafts]
    return shares


def _shared_gpus(host: HostDraft, shares: dict[int | str, list[str]]) -> Iterator[PlanWarning]:
    groups = {tuple(labels): [index for index, same in shares.items() if same == labels] for labels in shares.values()}
    for labels, indexes in groups.items():
        what = f"{', '.join(labels)} share GPU {', '.join(str(index) for index in indexes)}"
        yield PlanWarning(host.name, "", f"{what}: vLLM measures free memory when it starts, so start them one after the other")


@check()
def parallel_sizes_fit_the_gpus(host: HostDraft) -> Iterator[Finding]:
    """The parallel sizes are positive whole numbers, and their product is no more than the GPUs of the service."""
    for draft in host.services:
        for key in SIZES:
            if key in draft.given and args.size(draft.given, key) is None:
                yield PlanError(host.name, draft.label, f"vllm_args.{key}", shown(draft.given[key]), "this is not a positive whole number", "write 1 or more")
        wanted = draft.world_size()
        if wanted is None or not draft.gpus or draft.is_distributed:
            # Another check adds up the GPUs of multi-node services.
            continue
        have = draft.gpu_count
        product = " x ".join(f"{key} {draft.arguments[key]}" for key in SIZES if key in draft.arguments)
        if wanted > have:
            value = "all" if draft.service.gpus is None else shown(list(draft.service.gpus))
            why = f"{product} needs {wanted} GPUs and the service has {have}"
            yield PlanError(host.name, draft.label, "gpus", value, why, "give it more GPUs, or lower the parallel sizes in vllm_args")
        elif wanted < have and _wants_gpus(draft):
            yield PlanWarning(host.name, draft.label, f"{product} uses {wanted} of its {have} GPUs; the other GPUs stay idle")
