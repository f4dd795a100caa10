# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health of the GPUs that services use, as the host reports it (module_utils/gpu_health). Each kind of finding has its own name for plan_accept.

GPUs that are lost or have to be reset according to nvidia-smi's query, and a driver that does not work at all, are errors of the checks in gpus.py.
"""

from __future__ import annotations

from typing import Collection, Iterator, Union

from ..errors import PlanError, PlanWarning, shown
from ..placement.draft import HostDraft, ServiceDraft
from .base import check

Finding = Union[PlanError, PlanWarning]


def _uses_gpus(draft: ServiceDraft) -> bool:
    return not draft.on_cpu or draft.service.gpus is not None


def _findings(host: HostDraft, name: str, without: Collection[int | str] = ()) -> Iterator[Finding]:
    """Findings of one name: about the GPUs of a service for that service, about the host once if a service uses GPUs.

    :param without: GPUs that are left out
    """
    facts = host.facts
    users = [draft for draft in host.services if _uses_gpus(draft)]
    if facts is None or facts.gpu_error or not users:
        return
    parents = {gpu.index: gpu.parent for gpu in host.gpus or () if gpu.parent is not None}
    for finding in facts.gpu_health:
        if finding.name != name or finding.gpu in without:
            continue
        if finding.gpu is None:
            yield PlanWarning(host.name, "", f"{finding.cause}; fix: {finding.fix}")
            continue
        for draft in users:
            if finding.gpu not in {parents.get(index, index) for index in draft.gpus or ()}:
                continue
            if finding.is_error:
                value = "all" if draft.service.gpus is None else shown(list(draft.service.gpus))
                yield PlanError(host.name, draft.label, "gpus", value, finding.cause, f"{finding.fix}; or choose other GPUs with gpus")
            else:
                yield PlanWarning(host.name, draft.label, f"{finding.cause}; fix: {finding.fix}")


@check(accept="gpu-recovery", every_engine=True)
def gpus_need_no_recovery(host: HostDraft) -> Iterator[Finding]:
    """The driver requires no reset of a GPU, and no other action that ends by itself."""
    # Another check reports these.
    known = {gpu.index for gpu in host.gpus or () if gpu.error}
    yield from _findings(host, "gpu-recovery", known)


@check(accept="gpu-ecc", every_engine=True)
def gpu_memory_has_no_errors(host: HostDraft) -> Iterator[Finding]:
    """No GPU of a service has uncorrectable memory errors, or memory that waits for a reset."""
    yield from _findings(host, "gpu-ecc")


@check(accept="gpu-xid", every_engine=True)
def gpus_report_no_xid(host: HostDraft) -> Iterator[Finding]:
    """The kernel's log has no XID of a GPU that a service uses."""
    yield from _findings(host, "gpu-xid")


@check(accept="gpu-fabric", every_engine=True)
def gpus_are_registered_with_nvswitches(host: HostDraft) -> Iterator[Finding]:
    """GPUs behind NVSwitches are registered with Fabric Manager. A run that installs it does not fail because of that."""
    for finding in _findings(host, "gpu-fabric"):
        if isinstance(finding, PlanError) and host.settings.cuda_fabric_manager:
            yield PlanWarning(finding.host, finding.service, f"{finding.why}; this run installs and starts Fabric Manager")
        else:
            yield finding


@check(accept="gpu-nvlink", every_engine=True)
def nvlinks_are_active(host: HostDraft) -> Iterator[Finding]:
    """A GPU has as many active NVLinks as the others of its kind."""
    yield from _findings(host, "gpu-nvlink")


@check(accept="gpu-clocks", every_engine=True)
def gpu_clocks_are_not_held_back(host: HostDraft) -> Iterator[Finding]:
    """No GPU runs with lower clocks because of its temperature or its power supply."""
    yield from _findings(host, "gpu-clocks")


@check(accept="gpu-pcie", every_engine=True)
def gpus_use_their_whole_pcie_link(host: HostDraft) -> Iterator[Finding]:
    """The PCIe link of a GPU has the width, and under load the generation, that card and slot support."""
    yield from _findings(host, "gpu-pcie")


@check(accept="gpu-persistence", every_engine=True)
def persistence_mode_is_enabled(host: HostDraft) -> Iterator[Finding]:
    """The driver keeps GPUs initialized while no program uses them."""
    yield from _findings(host, "gpu-persistence")


@check(accept="gpu-processes", every_engine=True)
def gpus_are_used_by_services_alone(host: HostDraft) -> Iterator[Finding]:
    """No other program computes on the GPU of a service."""
    yield from _findings(host, "gpu-processes")


@check(accept="gpu-driver", every_engine=True)
def driver_is_of_one_version(host: HostDraft) -> Iterator[Finding]:
    """The loaded kernel module and the driver's libraries have the same version."""
    yield from _findings(host, "gpu-driver")


@check(accept="driver-hold", every_engine=True)
def driver_is_on_hold(host: HostDraft) -> Iterator[Finding]:
    """Unattended upgrades do not update the driver under running services. A run that installs the driver also holds its packages."""
    if not host.settings.cuda_driver_install:
        yield from _findings(host, "driver-hold")


@check(accept="gpu-health", every_engine=True)
def gpu_health_is_known(host: HostDraft) -> Iterator[Finding]:
    """The host can read the health of its GPUs, the kernel's log included."""
    yield from _findings(host, "gpu-health")
