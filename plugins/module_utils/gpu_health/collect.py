# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the health of all GPUs of the host. Needs root for the kernel's log and other accounts' processes; without it the findings say what is missing."""

from __future__ import annotations

import time
import typing as t

from .. import _gpu_driver, _nvidia, _reading
from . import driver, fabric_manager, kernel_log, nvidia_report, processes, verdict

# Seconds that all readings together may take. Each command has its own limit.
SECONDS = 180.0


def read_within(
    gpu_error: str, services: t.Sequence[t.Mapping[str, t.Any]], packages: t.Mapping[str, t.Mapping[str, t.Any]], nvswitches: int, seconds: float = SECONDS,
) -> list[verdict.Finding]:
    """Return what C(read) returns, read in a process of its own; one that hangs or fails is a finding, and does not hinder what calls this."""
    found, failed = _reading.ask({"health": lambda: read(gpu_error, services, packages, nvswitches)}, seconds)
    return verdict.of_error(failed["health"]) if failed else t.cast("list[verdict.Finding]", found["health"])


def read(
    gpu_error: str, services: t.Sequence[t.Mapping[str, t.Any]], packages: t.Mapping[str, t.Mapping[str, t.Any]], nvswitches: int,
) -> list[verdict.Finding]:
    """Return the findings about the host's GPUs. Call it only where there are GPUs, or where nvidia-smi fails.

    :param gpu_error: error of nvidia-smi; then it is not called again
    :param services: units of model services, as the fact C(services) has them
    :param packages: the fact C(driver_packages)
    """
    return examine(gpu_error, services, packages, nvswitches).findings


class Examination(t.NamedTuple):
    """C(gpus) are from C(nvidia_report.parse), C(events) from C(kernel_log.read), C(error) is why nvidia-smi failed."""

    gpus: list[dict[str, t.Any]]
    events: list[dict[str, t.Any]]
    findings: list[verdict.Finding]
    error: str


def examine(
    gpu_error: str, services: t.Sequence[t.Mapping[str, t.Any]], packages: t.Mapping[str, t.Mapping[str, t.Any]], nvswitches: int,
) -> Examination:
    """Return the findings with what they are about; the parameters are those of C(read)."""
    found: list[verdict.Finding] = []
    gpus: list[dict[str, t.Any]] = []
    error = gpu_error
    if not error:
        text, error = _nvidia.ask("-q", "-x")
        try:
            gpus = nvidia_report.parse(text) if not error else []
        except ValueError as unreadable:
            error = str(unreadable)
    found += verdict.of_error(error)
    events, unread = kernel_log.read()
    used_since = {gpu["index"]: max(processes.started(process["pid"] for process in gpu["processes"]), default=0.0) for gpu in gpus}
    found += verdict.of_gpus(gpus, events, nvswitches, time.time(), used_since)
    found += verdict.of_nvlinks(gpus, nvidia_report.parse_nvlinks(_nvidia.ask("nvlink", "-s")[0]) if len(gpus) > 1 else {})
    found += verdict.of_switches(events)
    found += verdict.of_fabric_manager(nvswitches, fabric_manager.service_state() if nvswitches else "")
    found += verdict.of_driver(_gpu_driver.loaded_module(), driver.library_version(), driver.reboot_reason(), driver.upgradable(packages))
    found += verdict.of_processes(processes.others(gpus, services), gpus)
    found += verdict.of_unread(unread)
    return Examination(gpus, events, found, error)
