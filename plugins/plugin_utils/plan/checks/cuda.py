# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CUDA: a toolkit for torch's CUDA version, GPU architectures to compile for, and an environment that does not break the compiler."""

from __future__ import annotations

from typing import Iterator

from ..artifacts.cuda import FIRST_IN_WHEELS, NONE, PACKAGES, needs_cuda
from ..errors import PlanError, PlanWarning, shown
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm.platforms import numbers, written
from .base import check

_LISTS = ("PATH", "CPATH", "LIBRARY_PATH", "LD_LIBRARY_PATH")


@check()
def cuda_toolkit_is_available(host: HostDraft) -> Iterator[PlanError]:
    """The toolkit's source provides the CUDA version of the release."""
    settings = host.settings
    for draft in host.services:
        toolkit = draft.release.toolkit
        name = draft.version.text
        if toolkit.source == PACKAGES and settings.cuda_apt_repository and not toolkit.version:
            why = f"the plan does not know the CUDA version of vLLM {name}, so it cannot choose packages"
            yield PlanError(host.name, draft.label, "cuda_source", PACKAGES, why, "name the build, like vllm_torch_backend: cu130; or use cuda_source: wheels")


@check(accept="cuda-compiler")
def cuda_compiler_is_present(host: HostDraft) -> Iterator[PlanWarning]:
    """A release for GPUs has a CUDA compiler."""
    for draft in host.services:
        if draft.release.toolkit.source == NONE and needs_cuda(draft.version, host.settings.vllm_torch_backend):
            what = f"the release of vLLM {draft.version.text} gets no CUDA compiler, so kernels that FlashInfer or DeepGEMM compile at runtime will fail"
            yield PlanWarning(host.name, draft.label, f"{what}: {_why_none(host, draft)}")


def _why_none(host: HostDraft, draft: ServiceDraft) -> str:
    if host.settings.cuda_source == NONE:
        return "cuda_source is none"
    cuda = written(host.tables.platforms.cuda(draft.version, host.settings.vllm_torch_backend))
    since = written(FIRST_IN_WHEELS)
    return f"it uses CUDA {cuda}, and Python packages contain the compiler only from CUDA {since} on; set cuda_source to system or packages"


@check()
def cuda_architectures_are_supported(host: HostDraft) -> Iterator[PlanError]:
    """The GPU architectures for the CUDA smoke test are known, and the CUDA version supports them."""
    platforms = host.tables.platforms
    for draft in host.services:
        toolkit = draft.release.toolkit
        if toolkit.source == NONE:
            continue
        # Another check reports a host without GPUs where none are stated.
        if not toolkit.architectures and host.facts is not None and not host.facts.gpus and host.gpus_are_stated:
            why = "the host has no working GPU yet, so the plan does not know which architecture the CUDA smoke test has to compile for"
            fix = "name compute capabilities here or in plan_gpus, like ['9.0'] for H100 and H20"
            yield PlanError(host.name, draft.label, "cuda_architectures", "[]", why, fix)
        for architecture in toolkit.architectures:
            least = platforms.least_cuda(numbers(architecture))
            if toolkit.version and numbers(toolkit.version) < least:
                why = f"compute capability {architecture} needs CUDA {written(least)} or newer, and vLLM {draft.version.text} uses {toolkit.version} here"
                fix = f"leave it out, or choose a build for CUDA {written(least)} or newer with vllm_torch_backend"
                yield PlanError(host.name, draft.label, "cuda_architectures", architecture, why, fix)


@check()
def path_lists_have_no_empty_elements(host: HostDraft) -> Iterator[PlanError]:
    """Path lists from the user have no empty element: nvcc and the linker take it for the working directory, and nvcc is not found."""
    for draft in host.services:
        for name in _LISTS:
            value = draft.environment.get(name)
            if value is not None and "" in value.split(":"):
                why = "it has an empty element (a ':' at the start, at the end or twice), which means the working directory"
                yield PlanError(host.name, draft.label, f"environment.{name}", shown(value), why, "remove the extra ':'")


@check(accept="fabric-manager")
def fabric_manager_matches_the_driver(host: HostDraft) -> Iterator[PlanError]:
    """A host with NVSwitches has Fabric Manager in exactly the driver's version: otherwise CUDA fails with error 802."""
    facts = host.facts
    if facts is None or not facts.nvswitches or host.settings.cuda_fabric_manager or not any(draft.gpus for draft in host.services):
        return
    driver = next((gpu.driver_version for gpu in facts.gpus if gpu.driver_version), "")
    if driver and facts.fabric_manager != driver:
        have = facts.fabric_manager or "not installed"
        why = f"the host has {facts.nvswitches} NVSwitches, driver {driver} and Fabric Manager {have}: CUDA would fail with error 802"
        fix = f"install Fabric Manager {driver}, or let the role install it with cuda_driver_install and cuda_fabric_manager"
        yield PlanError(host.name, "", "cuda_fabric_manager", have, why, fix)
