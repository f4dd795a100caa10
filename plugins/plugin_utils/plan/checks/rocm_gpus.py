# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AMD GPUs: vLLM has kernels for them, the service may use them, and what nobody has shown to work on them is refused by its name."""

from __future__ import annotations

from typing import Iterator, Union

from ..errors import PlanError, PlanWarning, shown
from ..inputs.facts import Gpu
from ..inputs.run import Run
from ..models.architecture import Architecture
from ..placement.draft import HostDraft, ServiceDraft
from ..placement.multi_node import MultiNodeService
from .base import check, multi_node_check
from .rocm_release import on_amd

Finding = Union[PlanError, PlanWarning]


def _gpus(host: HostDraft, draft: ServiceDraft) -> list[Gpu]:
    """The AMD GPUs of a service."""
    used = set(draft.gpus or ())
    return [gpu for gpu in host.gpus or () if gpu.is_amd and gpu.index in used]


def _named(gpu: Gpu) -> str:
    return f"GPU {gpu.index} ({', '.join(filter(None, (shown(gpu.name) if gpu.name else '', gpu.gfx)))})"


def _value(draft: ServiceDraft) -> str:
    return "all" if draft.service.gpus is None else shown(list(draft.service.gpus))


@check(every_engine=True)
def gpus_are_of_one_vendor(host: HostDraft) -> Iterator[PlanError]:
    """A host has GPUs of one vendor: their numbers, releases and variables differ."""
    vendors = {gpu.vendor for gpu in host.gpus or ()}
    if len(vendors) > 1 and host.services:
        named = ", ".join(f"GPU {gpu.index}{f' ({shown(gpu.name)})' if gpu.name else ''}" for gpu in host.gpus or () if gpu.is_amd)
        why = f"the host has GPUs of NVIDIA and of AMD ({named})"
        yield PlanError(host.name, "", "gpus", "", why, "keep GPUs of one vendor in a host; in plan_gpus state those of one vendor (name, gfx)")


@multi_node_check
def nodes_have_gpus_of_one_vendor(service: MultiNodeService, run: Run) -> Iterator[PlanError]:
    """The nodes of a service all have GPUs of NVIDIA, or all of AMD: NCCL and RCCL do not connect."""
    amd = [node.host.name for node in service.node_drafts if node.host.is_amd]
    nvidia = [node.host.name for node in service.node_drafts if any(not gpu.is_amd for gpu in node.host.gpus or ())]
    if amd and nvidia:
        why = f"{', '.join(amd)} have GPUs of AMD and {', '.join(nvidia)} of NVIDIA, which cannot serve one model together"
        fix = "define one service for the hosts of each vendor, or put GPUs of one vendor into its hosts"
        yield PlanError(service.head.host.name, service.label, "distributed", ", ".join(service.hosts), why, fix)


@check(accept="rocm-multi-node")
def services_on_amd_are_on_one_host(host: HostDraft) -> Iterator[PlanError]:
    """A service on AMD GPUs is on one host: RCCL, Ray and the transports between hosts have not been tried."""
    for draft in on_amd(host):
        if draft.is_distributed:
            why = "multi-node services on AMD GPUs (RCCL, Ray, the transports between nodes) have not been tried"
            yield PlanError(host.name, draft.label, "distributed", "", why, "remove distributed and serve it on one host")


@check(accept="rocm-target", every_engine=True)
def vllm_has_kernels_for_the_target(host: HostDraft) -> Iterator[PlanError]:
    """vLLM's wheels for ROCm have kernels for the GPUs."""
    known = host.tables.platforms.rocm.gfx
    for draft in on_amd(host):
        for gpu in _gpus(host, draft):
            if gpu.gfx in known:
                continue
            others = [str(other.index) for other in host.gpus or () if other.gfx in known]
            instead = f"name others in gpus: [{', '.join(others)}]" if others else "serve it on another GPU"
            if gpu.gfx:
                yield PlanError(host.name, draft.label, "gpus", _value(draft), f"vLLM's wheels for ROCm have no kernels for {_named(gpu)}", instead)
            else:
                why = f"the LLVM target of GPU {gpu.index}{f' ({shown(gpu.name)})' if gpu.name else ''} is unknown"
                fix = f"state it in plan_gpus: [{{index: {gpu.index}, gfx: gfx942}}], as amd-smi static --asic prints it"
                yield PlanError(host.name, draft.label, "gpus", _value(draft), why, fix)
            break


@check(accept="rocm-partition", every_engine=True)
def gpus_are_not_partitioned(host: HostDraft) -> Iterator[PlanError]:
    """The GPUs are whole (SPX): how vLLM and HIP number the parts of a GPU has not been tried."""
    for draft in on_amd(host):
        divided = [gpu for gpu in _gpus(host, draft) if gpu.partition]
        if divided:
            why = f"GPU {', '.join(str(gpu.index) for gpu in divided)} is divided ({divided[0].partition}), and services on parts of a GPU have not been tried"
            yield PlanError(host.name, draft.label, "gpus", _value(draft), why, "make it whole: amd-smi set --compute-partition SPX")


@check(accept="rocm-order", every_engine=True)
def hip_numbers_the_gpus_alike(host: HostDraft) -> Iterator[PlanError]:
    """HIP numbers the GPUs as amd-smi does, where a service has some of them: HIP follows the KFD nodes, amd-smi the PCI bus."""
    nodes = [gpu.node for gpu in host.gpus or () if gpu.is_amd]
    ordered = [node for node in nodes if node is not None]
    if len(ordered) < len(nodes) or ordered == sorted(ordered):
        return
    drafts = on_amd(host)
    for draft in drafts:
        used = set(draft.gpus or ())
        left_out = [gpu for gpu in host.gpus or () if gpu.is_amd and gpu.index not in used]
        if draft.service.gpus is None and not left_out:
            continue
        unusable = [gpu for gpu in left_out if gpu.gfx and gpu.gfx not in host.tables.platforms.rocm.gfx]
        why = f"HIP numbers the GPUs in another order than amd-smi (KFD nodes {', '.join(map(str, ordered))}), so the service would get others"
        yield PlanError(host.name, draft.label, "gpus", _value(draft), why, _in_order(len(drafts), unusable))


def _in_order(services: int, unusable: list[Gpu]) -> str:
    """How the services of a host get their GPUs although HIP numbers them in another order: all of the GPUs have no order."""
    if unusable:
        return f"turn off {', '.join(map(_named, unusable))} in the host's firmware, so that the services have all GPUs of the host and gpus may be left out"
    if services > 1:
        return "serve one service on this host, with all of its GPUs and without gpus, and the others on other hosts"
    return "leave gpus out, for all GPUs of the host"


@check(every_engine=True)
def gpu_devices_may_be_opened(host: HostDraft) -> Iterator[PlanError]:
    """A group may open the device files of the GPUs: services do not run as root."""
    closed = host.facts.amd.closed_devices if host.facts is not None else ()
    if closed and on_amd(host):
        why = f"only root may open {', '.join(closed)}, and services have their own accounts"
        fix = "give them a group, with AMD's udev rules: KERNEL==\"kfd\", GROUP=\"render\", MODE=\"0660\" (package amdgpu-dkms, or rocm)"
        yield PlanError(host.name, "", "gpus", "", why, fix)


@check(accept="rocm-kernels")
def kernels_exist_on_amd(host: HostDraft) -> Iterator[PlanError]:
    """vLLM has the attention that the model needs or the user names, and the KV cache's type, on these GPUs."""
    table = host.tables.platforms.rocm
    for draft in on_amd(host):
        gpus = _gpus(host, draft)
        model = draft.entry.architecture if draft.entry is not None else Architecture()
        backend = draft.given.get("attention_backend")
        name = backend.upper() if isinstance(backend, str) else ""
        lacking = next((gpu for gpu in gpus if gpu.gfx not in table.aiter), None)
        if name in table.other_backends:
            yield PlanError(host.name, draft.label, draft.where("attention_backend"), shown(backend), "this attention backend is for NVIDIA's GPUs", _LEAVE)
        elif name in table.aiter_backends and lacking is not None:
            why = f"this attention backend is AITER's, which runs on {', '.join(table.aiter)}, not on {_named(lacking)}"
            yield PlanError(host.name, draft.label, draft.where("attention_backend"), shown(backend), why, _LEAVE)
        if model.mla is not None and model.mla.index_head_dim:
            unable = next((gpu for gpu in gpus if gpu.gfx not in table.sparse_mla), None)
            if unable is not None:
                why = f"vLLM has the model's sparse attention on {', '.join(table.sparse_mla)}, not on {_named(unable)}"
                yield PlanError(host.name, draft.label, "gpus", _value(draft), why, "serve it on such a GPU, or serve another model here")
        cache = draft.given.get("kv_cache_dtype")
        if cache in table.other_kv_cache_dtypes:
            why = "vLLM has no kernel for this type of KV cache on AMD GPUs"
            fix = "write fp8, or remove it" if all(gpu.gfx in table.fp8 for gpu in gpus) else "remove it"
            yield PlanError(host.name, draft.label, draft.where("kv_cache_dtype"), shown(cache), why, fix)


_LEAVE = "remove it: vLLM chooses a backend for GPU and model"


@check(accept="rocm-quantization")
def quantization_is_supported_on_amd(host: HostDraft) -> Iterator[Finding]:
    """vLLM computes with the model's quantisation on these GPUs."""
    table = host.tables.platforms.rocm
    for draft in on_amd(host):
        stated = draft.entry.architecture.quantization if draft.entry is not None else ""
        quantization = "fp8-tensor" if stated in ("", "none") and draft.given.get("quantization") == "fp8" else stated
        for gpu in _gpus(host, draft):
            if quantization == "nvfp4":
                why = f"NVFP4 is a format of NVIDIA's GPUs; on {_named(gpu)} vLLM has no kernel for it, or only an emulation"
                yield PlanError(host.name, draft.label, "model", shown(draft.service.model), why, "serve the model in FP8, MXFP4 or BF16")
                break
            if quantization.startswith("fp8") and gpu.gfx not in table.fp8:
                why = f"vLLM computes in FP8 on {', '.join(table.fp8)}, not on {_named(gpu)}"
                yield PlanError(host.name, draft.label, "gpus", _value(draft), why, "serve a model with another quantisation, or use another GPU")
                break
            if quantization == "mxfp4" and gpu.gfx not in table.mx:
                what = f"{_named(gpu)} has no MXFP4 arithmetic ({', '.join(table.mx)} have)"
                yield PlanWarning(host.name, draft.label, f"{what}: such weights save memory there, but vLLM computes in 16 bits")
                break


@check(every_engine=True)
def driver_of_amd_is_not_installed(host: HostDraft) -> Iterator[PlanError]:
    """The role cuda does not install NVIDIA's driver on a host with AMD GPUs, and none for AMD's."""
    if host.settings.cuda_driver_install and host.is_amd:
        why = "it installs NVIDIA's driver, and the host has AMD GPUs"
        yield PlanError(host.name, "", "cuda_driver_install", "true", why, "set cuda_driver_install: false, and install AMD's driver and ROCm by hand")


@check(accept="amd-smi", every_engine=True)
def amd_smi_answers(host: HostDraft) -> Iterator[PlanWarning]:
    """The host's facts about AMD GPUs come from the first tool that is there."""
    for warning in host.facts.amd.warnings if host.facts is not None and on_amd(host) else ():
        yield PlanWarning(host.name, "", f"{shown(warning)}; the facts about the GPUs come from another source, so values may be missing")


@check(accept="rocm", every_engine=True)
def amd_gpus_are_untested(host: HostDraft) -> Iterator[PlanWarning]:
    """Nobody has run this collection on AMD GPUs, and what it does for those of NVIDIA beyond serving is not there for them."""
    if on_amd(host):
        what = "no run on AMD GPUs has tested this collection: its checks of them follow vLLM's and AMD's sources (docs/rocm.md)"
        lacks = "the health of the GPUs (resets, memory errors, clocks, other processes) is not looked at, neither by the plan nor before an engine starts"
        yield PlanWarning(host.name, "", f"{what}; {lacks}")
