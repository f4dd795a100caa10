# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform: the driver supports vLLM's CUDA, and the GPUs support the model's data type."""

from __future__ import annotations

from typing import Iterator, Union

from ..errors import PlanError, PlanWarning, shown
from ..inputs.facts import Gpu
from ..models.architecture import Architecture
from ..placement.draft import HostDraft, ServiceDraft
from ..versions import parse
from ..vllm.platforms import Numbers, numbers, suits, written
from .base import check

Finding = Union[PlanError, PlanWarning]

_HALF = ("half", "float16")


def _gpus(host: HostDraft, draft: ServiceDraft) -> list[Gpu]:
    """Known GPUs of NVIDIA of a service (rocm.py has the checks of AMD's). A CPU build uses none, even if the user names some."""
    used = set(draft.gpus or ())
    return [] if draft.version.is_cpu_build else [gpu for gpu in host.gpus or () if gpu.index in used and not gpu.is_amd]


@check(accept="driver")
def driver_supports_cuda(host: HostDraft) -> Iterator[PlanError]:
    """The driver is new enough for the CUDA version of the chosen vLLM."""
    platforms = host.tables.platforms
    for draft in host.services:
        cuda = platforms.cuda(draft.version, host.settings.vllm_torch_backend)
        least = platforms.driver(cuda)
        if host.settings.cuda_driver_install:
            # The role replaces the installed driver by the newest one of the branch, so only the branch is compared.
            branch = host.settings.cuda_driver_branch
            if least and numbers(branch) < numbers(least)[:1]:
                why = f"vLLM {draft.version.text} uses CUDA {written(cuda)}, which needs driver {least} or newer"
                yield PlanError(host.name, draft.label, "cuda_driver_branch", branch, why, f"choose branch {written(numbers(least)[:1])} or newer")
            continue
        older = [gpu.driver_version for gpu in _gpus(host, draft) if numbers(gpu.driver_version) and numbers(gpu.driver_version) < numbers(least)]
        if least and older:
            why = f"vLLM {draft.version.text} uses CUDA {written(cuda)}, which needs driver {least} or newer"
            fix = f"install driver {least} or newer (or set cuda_driver_install); or choose a build for an older CUDA with vllm_torch_backend"
            yield PlanError(host.name, draft.label, "gpus", f"driver {shown(older[0])}", why, fix)


@check(accept="cuda")
def cuda_supports_the_gpu(host: HostDraft) -> Iterator[PlanError]:
    """The CUDA version of the chosen vLLM supports the GPUs."""
    platforms = host.tables.platforms
    for draft in host.services:
        cuda = platforms.cuda(draft.version, host.settings.vllm_torch_backend)
        for gpu in _gpus(host, draft):
            capability = numbers(gpu.compute_capability)
            least = platforms.least_cuda(capability)
            oldest = platforms.oldest_gpu(cuda)
            if capability and capability < oldest:
                uses = f"vLLM {draft.version.text}{f' uses CUDA {written(cuda)} here and' if cuda else ''}"
                why = f"{uses} supports GPUs from compute capability {written(oldest)} on"
                yield PlanError(host.name, draft.label, "gpus", _named(gpu, capability), why, _for_old_gpus(host, draft, capability))
                break
            if capability and cuda and cuda < least:
                why = f"this GPU needs CUDA {written(least)} or newer, and vLLM {draft.version.text} uses {written(cuda)} here"
                fix = f"choose a build for CUDA {written(least)} or newer: vllm_torch_backend, or the version's local part"
                yield PlanError(host.name, draft.label, "gpus", _named(gpu, capability), why, fix)
                break


@check(accept="kernels")
def attention_kernels_support_the_gpu(host: HostDraft) -> Iterator[PlanError]:
    """The GPUs support the kernels that the model needs and the attention backend that the user sets."""
    platforms = host.tables.platforms
    for draft in host.services:
        sparse = draft.entry is not None and draft.entry.architecture.is_sparse
        named = draft.given.get("attention_backend")
        backend = platforms.attention_backends.get(named.upper(), ()) if isinstance(named, str) else ()
        for gpu in _gpus(host, draft):
            capability = numbers(gpu.compute_capability)
            if not capability:
                continue
            majors = platforms.sparse_mla(draft.version)
            if sparse and capability[0] not in majors:
                there = f"only on GPUs of compute capability {_majors(majors)}" if majors else "not at all"
                why = f"vLLM {draft.version.text} supports the model's sparse attention {there}"
                since = platforms.sparse_mla_since(capability[0])
                fix = "serve it on such a GPU, or serve another model here"
                fix = f"set vllm_version to {since} or newer; or {fix}" if since else fix
                yield PlanError(host.name, draft.label, "gpus", _named(gpu, capability), why, fix)
                break
            if backend and capability[0] not in backend:
                why = f"this attention backend needs a GPU of compute capability {_majors(backend)}, not {_named(gpu, capability)}"
                fix = "remove it: vLLM chooses a backend for GPU and model"
                yield PlanError(host.name, draft.label, "vllm_args.attention_backend", shown(named), why, fix)
                break


@check(accept="kv-cache-dtype")
def kv_cache_dtype_is_supported(host: HostDraft) -> Iterator[PlanError]:
    """vLLM has a kernel for the KV cache's type, the model's attention and the GPUs, and the weights allow the type.

    The kernels are in C(kv_cache_dtypes) of platforms.yml. vLLM refuses a cache of type e5m2 with FP8 weights
    (model_executor/layers/attention/attention.py of 0.32.0), except for compressed-tensors without scales for it (one scale for each channel).
    """
    platforms = host.tables.platforms
    for draft in host.services:
        named = draft.given.get("kv_cache_dtype")
        model = draft.entry.architecture if draft.entry else Architecture()
        if not isinstance(named, str) or draft.version.is_cpu_build or host.is_amd:
            continue
        if named == "fp8_e5m2" and model.quantization in ("fp8-block", "fp8-tensor"):
            why = "the weights are in FP8, and vLLM refuses a cache of fp8_e5m2 with them"
            yield _wrong_cache(host, draft, named, why)
            continue
        kernels = platforms.cache_kernels(named, draft.version)
        kind = _attention(model)
        if kernels is None or draft.given.get("attention_backend") is not None:
            continue
        if not kernels or (kind and kind not in kernels):
            what = f"models with {_ATTENTION[kind]}" if kernels and kind else "NVIDIA's GPUs"
            yield _wrong_cache(host, draft, named, f"vLLM {draft.version.text} has no kernel for this type of KV cache for {what}")
            continue
        for gpu in _gpus(host, draft) if kind else ():
            capability = numbers(gpu.compute_capability)
            if capability and not suits(capability, kernels[kind]):
                needs = _majors(tuple(kernels[kind])) if isinstance(kernels[kind], (list, tuple)) else f"{kernels[kind]} and newer"
                why = f"vLLM {draft.version.text} supports this type of KV cache on compute capability {needs}, not on {_named(gpu, capability)}"
                yield _wrong_cache(host, draft, named, why)
                break


# Kinds of attention in the table of cache types.
_ATTENTION = {"heads": "keys and values of each head", "mla": "MLA's compressed cache", "sparse": "sparse attention over MLA's compressed cache"}


def _attention(model: Architecture) -> str:
    """The kind of attention, empty when not known."""
    if model.is_sparse:
        return "sparse"
    if model.mla is not None:
        return "mla"
    return "heads" if model.num_kv_heads or model.kv_groups else ""


def _wrong_cache(host: HostDraft, draft: ServiceDraft, named: str, why: str) -> PlanError:
    """An error whose fix is FP8 where all GPUs support it and the user wanted a smaller type, else the model's own type."""
    kernels = host.tables.platforms.cache_kernels("fp8", draft.version)
    kind = _attention(draft.entry.architecture) if draft.entry else ""
    capabilities = [numbers(gpu.compute_capability) for gpu in _gpus(host, draft)]
    smaller = named not in ("fp8", "fp8_e4m3", "bfloat16")
    fits = kernels is None or (kind in kernels and all(suits(capability, kernels[kind]) for capability in capabilities if capability))
    fix = "write fp8, or remove it" if smaller and fits else "remove it: the cache then has the model's own type"
    return PlanError(host.name, draft.label, draft.where("kv_cache_dtype"), named, why, fix)


def _for_old_gpus(host: HostDraft, draft: ServiceDraft, capability: Numbers) -> str:
    platforms = host.tables.platforms
    older = platforms.newest_vllm_below((13,))
    last = parse(older)
    wanted = draft.entry.min_vllm if draft.entry is not None else None
    if capability < platforms.oldest_gpu((12,)) or last is None or (wanted is not None and last < wanted) or draft.version <= last:
        return "serve it on a newer GPU"
    return f"serve it on a newer GPU; or set vllm_version to {older}, the last one with a CUDA for this GPU (without vllm_torch_backend)"


def _majors(majors: tuple[int, ...]) -> str:
    return ", ".join(f"{major}.x" for major in majors)


@check(accept="compute-capability")
def gpu_supports_the_dtype(host: HostDraft) -> Iterator[Finding]:
    """The GPUs support the model's quantisation, and can compute in its data type."""
    platforms = host.tables.platforms
    for draft in host.services:
        if draft.entry is None:
            continue
        quantization = _quantization(draft)
        for gpu in _gpus(host, draft):
            capability = numbers(gpu.compute_capability)
            if not capability:
                continue
            least = platforms.least_capability(quantization, draft.version, _is_modelopt(draft))
            finding = _quantized(host, draft, gpu, capability, quantization, least, platforms.fp8_arithmetic)
            finding = finding or _sixteen_bits(host, draft, gpu, capability, platforms.bf16_arithmetic)
            if finding is not None:
                yield finding
                # The other GPUs are usually of the same kind; the next run reports them.
                break


def _quantization(draft: ServiceDraft) -> str:
    """The quantisation of the weights, or the one that vLLM applies while it loads them."""
    stated = draft.entry.architecture.quantization if draft.entry else ""
    return "fp8-tensor" if stated in ("", "none") and draft.given.get("quantization") == "fp8" else stated


def _is_modelopt(draft: ServiceDraft) -> bool:
    """Whether the weights are in the format of ModelOpt, which has a minimum of its own."""
    named = draft.given.get("quantization")
    return (draft.entry is not None and draft.entry.architecture.modelopt is True) or named in ("modelopt", "modelopt_fp4")


def _quantized(host: HostDraft, draft: ServiceDraft, gpu: Gpu, capability: Numbers, quantization: str, least: Numbers, fp8: Numbers) -> Finding | None:
    if capability < least:
        modelopt = _is_modelopt(draft)
        kind = f"{quantization} in ModelOpt's format" if modelopt else quantization
        why = f"vLLM {draft.version.text} supports weights quantised as {kind} from compute capability {written(least)} on"
        newer = host.tables.platforms.modelopt_since(quantization, capability) if modelopt else ""
        fix = "serve a model with another quantisation, or use another GPU"
        fix = f"set vllm_version to {newer} or newer; or {fix}" if newer else fix
        return PlanError(host.name, draft.label, "gpus", _named(gpu, capability), why, fix)
    if quantization.startswith("fp8") and capability < fp8:
        what = f"{_named(gpu, capability)} has no FP8 arithmetic (available from {written(fp8)} on)"
        return PlanWarning(host.name, draft.label, f"{what}: FP8 weights save memory there, but vLLM computes in 16 bits")
    return None


def _sixteen_bits(host: HostDraft, draft: ServiceDraft, gpu: Gpu, capability: Numbers, bf16: Numbers) -> Finding | None:
    wanted = draft.given.get("dtype", "auto")
    if capability >= bf16 or wanted in _HALF:
        return None
    if wanted == "bfloat16":
        why = f"{_named(gpu, capability)} has no BF16 arithmetic, and vLLM refuses it before compute capability {written(bf16)}"
        return PlanError(host.name, draft.label, "vllm_args.dtype", "bfloat16", why, "write dtype: half")
    known = draft.entry is not None and draft.entry.architecture.dtype in ("bf16", "fp8")
    what = f"{_named(gpu, capability)} has no BF16 arithmetic: vLLM computes in FP16 instead, in which some models overflow"
    return PlanWarning(host.name, draft.label, f"{what}; dtype: half makes that explicit") if known and wanted == "auto" else None


def _named(gpu: Gpu, capability: Numbers) -> str:
    return f"GPU {gpu.index}{f' ({shown(gpu.name)})' if gpu.name else ''} of compute capability {written(capability)}"
