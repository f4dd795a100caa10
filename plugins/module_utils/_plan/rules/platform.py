# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform: the driver is new enough for vLLM's CUDA, and the GPUs can compute with the model's type."""

from __future__ import annotations

from typing import Iterator, Union

from ..draft import HostDraft, ServiceDraft
from ..facts import Gpu
from ..faults import Fault, Notice, shown
from ..platforms import Numbers, numbers, written
from ..versions import parse

Finding = Union[Fault, Notice]

_HALF = ("half", "float16")


def _gpus(host: HostDraft, draft: ServiceDraft) -> list[Gpu]:
    """GPUs of a service that are known. A CPU build uses none, whatever its user names."""
    used = set(draft.gpus or ())
    return [] if draft.version.is_cpu_build else [gpu for gpu in host.gpus or () if gpu.index in used]


def driver_suits_cuda(host: HostDraft) -> Iterator[Fault]:
    """The driver is at least the one that the CUDA of the chosen vLLM needs."""
    platforms = host.tables.platforms
    for draft in host.services:
        cuda = platforms.cuda(draft.version, host.settings.vllm_torch_backend)
        least = platforms.driver(cuda)
        if host.settings.cuda_driver_install:
            # What is installed now goes; a branch is compared by its first number, since the newest of it is what comes.
            branch = host.settings.cuda_driver_branch
            if least and numbers(branch) < numbers(least)[:1]:
                why = f"vLLM {draft.version.text} brings CUDA {written(cuda)}, which needs driver {least} or newer"
                yield Fault(host.name, draft.label, "cuda_driver_branch", branch, why, f"choose branch {written(numbers(least)[:1])} or newer")
            continue
        older = [gpu.driver_version for gpu in _gpus(host, draft) if numbers(gpu.driver_version) and numbers(gpu.driver_version) < numbers(least)]
        if least and older:
            why = f"vLLM {draft.version.text} brings CUDA {written(cuda)}, which needs driver {least} or newer"
            remedy = f"install driver {least} or newer (cuda_driver_install does it); or choose a build for an older CUDA with vllm_torch_backend"
            yield Fault(host.name, draft.label, "gpus", f"driver {shown(older[0])}", why, remedy)


def cuda_knows_the_gpu(host: HostDraft) -> Iterator[Fault]:
    """The CUDA of the chosen vLLM makes code for the GPUs."""
    platforms = host.tables.platforms
    for draft in host.services:
        cuda = platforms.cuda(draft.version, host.settings.vllm_torch_backend)
        for gpu in _gpus(host, draft):
            capability = numbers(gpu.compute_capability)
            least = platforms.least_cuda(capability)
            oldest = platforms.oldest_gpu(cuda)
            if capability and capability < oldest:
                brings = f"vLLM {draft.version.text}{f' brings CUDA {written(cuda)} here and' if cuda else ''}"
                why = f"{brings} has code for GPUs from compute capability {written(oldest)} on"
                yield Fault(host.name, draft.label, "gpus", _named(gpu, capability), why, _for_old_gpus(host, draft, capability))
                break
            if capability and cuda and cuda < least:
                why = f"this GPU needs CUDA {written(least)} or newer, and vLLM {draft.version.text} brings {written(cuda)} here"
                remedy = f"choose a build for CUDA {written(least)} or newer: vllm_torch_backend, or the version's local part"
                yield Fault(host.name, draft.label, "gpus", _named(gpu, capability), why, remedy)
                break


def kernels_know_the_gpu(host: HostDraft) -> Iterator[Fault]:
    """The GPUs are none of those that a kernel of the model, or one that the user names, was not written for: at both ends of the range."""
    platforms = host.tables.platforms
    for draft in host.services:
        sparse = draft.entry is not None and draft.entry.architecture.mla is not None and bool(draft.entry.architecture.mla.index_head_dim)
        named = draft.given.get("attention_backend")
        backend = platforms.attention_backends.get(named.upper(), ()) if isinstance(named, str) else ()
        for gpu in _gpus(host, draft):
            capability = numbers(gpu.compute_capability)
            if not capability:
                continue
            if sparse and capability[0] not in platforms.sparse_mla:
                why = f"vLLM has the model's sparse attention for GPUs of compute capability {_majors(platforms.sparse_mla)} alone"
                yield Fault(host.name, draft.label, "gpus", _named(gpu, capability), why, "serve it on such a GPU, or another model here")
                break
            if backend and capability[0] not in backend:
                why = f"this attention backend is for GPUs of compute capability {_majors(backend)}, and {_named(gpu, capability)} is not"
                remedy = "take it out: vLLM chooses one that goes with GPU and model"
                yield Fault(host.name, draft.label, "vllm_args.attention_backend", shown(named), why, remedy)
                break


def _for_old_gpus(host: HostDraft, draft: ServiceDraft, capability: Numbers) -> str:
    platforms = host.tables.platforms
    older = platforms.newest_vllm_below((13,))
    last = parse(older)
    wanted = draft.entry.min_vllm if draft.entry is not None else None
    if capability < platforms.oldest_gpu((12,)) or last is None or (wanted is not None and last < wanted) or draft.version <= last:
        return "serve it on a newer GPU"
    return f"serve it on a newer GPU; or set vllm_version to {older}, the last whose own CUDA knows this one (without vllm_torch_backend)"


def _majors(majors: tuple[int, ...]) -> str:
    return ", ".join(f"{major}.x" for major in majors)


def gpu_computes_the_type(host: HostDraft) -> Iterator[Finding]:
    """The GPUs can take the model's quantisation, and compute in its type rather than only keep it."""
    platforms = host.tables.platforms
    for draft in host.services:
        if draft.entry is None:
            continue
        quantization = _quantization(draft)
        for gpu in _gpus(host, draft):
            capability = numbers(gpu.compute_capability)
            if not capability:
                continue
            finding = _quantized(host, draft, gpu, capability, quantization, platforms.least_capability(quantization), platforms.fp8_arithmetic)
            finding = finding or _sixteen_bits(host, draft, gpu, capability, platforms.bf16_arithmetic)
            if finding is not None:
                yield finding
                # The others are of the same kind, or told of in the next run.
                break


def _quantization(draft: ServiceDraft) -> str:
    """That of the weights, or the one that the arguments ask for as they are loaded."""
    stated = draft.entry.architecture.quantization if draft.entry else ""
    return "fp8-tensor" if stated in ("", "none") and draft.given.get("quantization") == "fp8" else stated


def _quantized(host: HostDraft, draft: ServiceDraft, gpu: Gpu, capability: Numbers, quantization: str, least: Numbers, fp8: Numbers) -> Finding | None:
    if capability < least:
        why = f"vLLM takes weights quantised as {quantization} from compute capability {written(least)} on"
        return Fault(host.name, draft.label, "gpus", _named(gpu, capability), why, "serve a model in another type, or on another GPU")
    if quantization.startswith("fp8") and capability < fp8:
        what = f"{_named(gpu, capability)} has no FP8 arithmetic (that begins with {written(fp8)})"
        return Notice(host.name, draft.label, f"{what}: FP8 is for the weights alone there, which saves memory but computes in 16 bits")
    return None


def _sixteen_bits(host: HostDraft, draft: ServiceDraft, gpu: Gpu, capability: Numbers, bf16: Numbers) -> Finding | None:
    wanted = draft.given.get("dtype", "auto")
    if capability >= bf16 or wanted in _HALF:
        return None
    if wanted == "bfloat16":
        why = f"{_named(gpu, capability)} has no BF16 arithmetic, and vLLM refuses it below compute capability {written(bf16)}"
        return Fault(host.name, draft.label, "vllm_args.dtype", "bfloat16", why, "write dtype: half")
    known = draft.entry is not None and draft.entry.architecture.dtype in ("bf16", "fp8")
    what = f"{_named(gpu, capability)} has no BF16 arithmetic: vLLM computes in FP16 instead, in which some models overflow"
    return Notice(host.name, draft.label, f"{what}; dtype: half says so") if known and wanted == "auto" else None


def _named(gpu: Gpu, capability: Numbers) -> str:
    return f"GPU {gpu.index}{f' ({shown(gpu.name)})' if gpu.name else ''} of compute capability {written(capability)}"
