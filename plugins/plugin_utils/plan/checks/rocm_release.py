# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases for AMD GPUs: vLLM's wheels for ROCm, their index, and what they need on the host."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, shown
from ..inputs.settings.sources import Source
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm.engines import VLLM
from ..vllm.platforms import numbers, written
from ..vllm.rocm import is_rocm_build
from .base import check
from .systems import python_of


def on_amd(host: HostDraft) -> list[ServiceDraft]:
    """The services of a host that run on AMD GPUs."""
    return [draft for draft in host.services if host.is_amd and (not draft.on_cpu or draft.service.gpus is not None)]


def for_rocm(host: HostDraft) -> list[ServiceDraft]:
    """The services of a host whose release is a build for AMD GPUs, from wheels."""
    return [draft for draft in host.services if is_rocm_build(draft.version) and draft.release.source == Source()]


@check()
def release_is_for_the_gpus(host: HostDraft) -> Iterator[PlanError]:
    """A service on AMD GPUs has a build for ROCm, and one on GPUs of NVIDIA does not."""
    table = host.tables.platforms.rocm
    amd = on_amd(host)
    for draft in host.services:
        if draft in amd and not is_rocm_build(draft.version):
            version, index = table.offered(draft.version)
            why = f"{_gpu(host)} is AMD's, and the vLLM of this version is built for NVIDIA's GPUs"
            newer = "" if version.startswith(f"{draft.version.public}+") else " (of newer ones no wheels for ROCm are known)"
            fix = f"set vllm_version: {version}{newer}, vllm_extra_index_urls: ['{index}'] and vllm_python: '{written(table.python)}'"
            yield PlanError(host.name, draft.label, "vllm_version", draft.version.text, why, fix)
        elif is_rocm_build(draft.version) and any(not gpu.is_amd for gpu in host.gpus or ()):
            why = "this is a build for AMD GPUs, and the host has GPUs of NVIDIA"
            yield PlanError(host.name, draft.label, "vllm_version", draft.version.text, why, f"set vllm_version: {draft.version.public}")
        elif is_rocm_build(draft.version) and host.settings.vllm_torch_backend:
            why = "the wheels for ROCm need the torch of their own index, and this setting takes another one"
            yield PlanError(host.name, draft.label, "vllm_torch_backend", host.settings.vllm_torch_backend, why, "remove it")


@check()
def rocm_wheels_have_an_index(host: HostDraft) -> Iterator[PlanError]:
    """A build for ROCm has an index: PyPI has only the builds for NVIDIA's GPUs and for CPUs."""
    for draft in for_rocm(host):
        release = draft.release
        if not (release.index_url or release.extra_index_urls or release.find_links):
            why = "PyPI does not have vLLM's wheels for ROCm, and no other index is set"
            fix = f"set vllm_extra_index_urls: ['{host.tables.platforms.rocm.index(draft.version)}'], or the address of a mirror of it"
            yield PlanError(host.name, draft.label, "vllm_extra_index_urls", "[]", why, fix)


@check(accept="rocm-wheels")
def rocm_wheels_fit_the_host(host: HostDraft) -> Iterator[PlanError]:
    """vLLM has wheels of the version for this ROCm, and they fit the host's Python, CPU architecture and C library."""
    table = host.tables.platforms.rocm
    for draft in for_rocm(host):
        known, named = table.wheels(draft.version), table.named(draft.version)
        if known is None or named != known:
            version, index = table.offered(draft.version)
            why = f"the plan knows no wheels of vLLM {draft.version.public} for {draft.version.local}"
            fix = f"set vllm_version: {version} and vllm_extra_index_urls: ['{index}']"
            yield PlanError(host.name, draft.label, "vllm_version", draft.version.text, why, fix)
            continue
        python = python_of(host)
        if python and python[:2] != table.python:
            why = f"vLLM's wheels for ROCm are for Python {written(table.python)} alone, and this is Python {written(python[:2])}"
            fix = f"set vllm_python: '{written(table.python)}', which uv installs"
            yield PlanError(host.name, draft.label, "vllm_python", host.settings.vllm_python, why, fix)
        if host.facts is None:
            continue
        machine = host.facts.system.architecture
        if machine and machine != table.machine:
            fix = f"serve on a host with {table.machine}, or build vLLM with vllm_source"
            yield PlanError(host.name, draft.label, "vllm_version", f"{draft.version.text} on {machine}", f"the wheels are for {table.machine} alone", fix)
        glibc = numbers(host.facts.glibc)
        if glibc and glibc < known.glibc:
            why = f"the wheels of {known.variant} need glibc {written(known.glibc)}, and the host has {host.facts.glibc}"
            fix = "serve on a host with a newer distribution (Ubuntu 24.04), or choose wheels for an older ROCm"
            yield PlanError(host.name, draft.label, "vllm_version", draft.version.text, why, fix)
        yield from _missing_libraries(host, draft)


def _missing_libraries(host: HostDraft, draft: ServiceDraft) -> Iterator[PlanError]:
    """The error that the distribution has no package with Open MPI's C++ bindings."""
    packages = host.tables.platforms.rocm.packages
    system = host.facts.system if host.facts is not None else None
    if system is not None and system.version in host.tables.platforms.systems.get(system.id, {}) and system.version not in packages.get(system.id, {}):
        why = f"torch in the wheels needs libmpi_cxx.so.40, which {system.id} {system.version} no longer has"
        fix = "serve on Ubuntu 24.04; or install the library by hand"
        yield PlanError(host.name, draft.label, "os", f"{system.id} {system.version}", why, fix)


@check(accept="rocm-version")
def rocm_of_the_host_fits_the_wheels(host: HostDraft) -> Iterator[PlanError]:
    """The host has the ROCm that the wheels were built for: they load its libraries from /opt/rocm.

    With another one the engine does not start: 0.20.1+rocm721 on ROCm 6.2 lacks ncclCommShrink, rocm723 on ROCm 10.1 lacks amdsmi_set_gpu_clk_range.
    """
    table = host.tables.platforms.rocm
    facts = host.facts
    if facts is None or not any(gpu.is_amd for gpu in facts.gpus):
        return
    for draft in for_rocm(host):
        needs = table.named(draft.version)
        have = numbers(facts.amd.rocm_version)[:2]
        if needs is None or (have and have[0] == needs.rocm[0] and have >= needs.rocm):
            continue
        why = f"the wheels of {needs.variant} need ROCm {written(needs.rocm)} or a newer {needs.rocm[0]}.x in /opt/rocm"
        fix = f"install ROCm {written(needs.rocm)} from AMD's repository, or choose a version whose wheels are for the host's"
        yield PlanError(host.name, draft.label, "rocm", facts.amd.rocm_version or "not installed", why, fix)


@check(every_engine=True)
def engine_has_a_build_for_rocm(host: HostDraft) -> Iterator[PlanError]:
    """Only vLLM has a release for AMD GPUs here: that of Transformers takes torch for NVIDIA's."""
    for draft in on_amd(host):
        if draft.engine != VLLM:
            why = "its release has torch from PyPI, which does not run on AMD GPUs"
            yield PlanError(host.name, draft.label, "engine", draft.engine, why, "write engine: vllm, or serve it on a host with GPUs of NVIDIA")


def _gpu(host: HostDraft) -> str:
    gpu = next(gpu for gpu in host.gpus or () if gpu.is_amd)
    return f"GPU {gpu.index}{f' ({shown(gpu.name)})' if gpu.name else ''}"
