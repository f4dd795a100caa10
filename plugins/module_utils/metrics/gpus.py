# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples about GPUs. Values that change quickly are read at each run, everything else with the GPUs' health."""

from __future__ import annotations

import os
import shutil
import typing as t

from .. import _gpu_driver, _host
from .._status import gpus as status_gpus
from ..amd_gpus import kfd
from ..gpu_health import collect, xid_catalogue
from .text import Sample

# Labels of inferops_gpu_throttled, with the reasons of nvidia_report.CLOCK_REASONS.
_THROTTLED = {
    "heat": ("hw_thermal_slowdown", "sw_thermal_slowdown"), "power_brake": ("hw_power_brake_slowdown",), "hardware": ("hw_slowdown",),
}
_ERROR = "error"
_USABLE = "inferops_gpu_usable"
_XID_LAST = "inferops_gpu_xid_last_timestamp_seconds"
# What is known without nvidia-smi, so that the last values are not repeated.
_CURRENT = ("inferops_gpu_finding", "inferops_gpu_xids", _XID_LAST)


def load() -> list[Sample]:
    """Return memory, temperature and load of each GPU. Raises OSError when nvidia-smi fails; a host without it has no GPUs."""
    gpus, error = status_gpus.read_gpus()
    if error:
        raise OSError(error)
    found: list[Sample] = []
    for gpu in gpus:
        own = {"gpu": str(gpu["index"]), "uuid": gpu["uuid"]}
        load_of = gpu["utilization"]
        values = {
            "memory_used_bytes": gpu["memory_used_bytes"], "memory_total_bytes": gpu["memory_bytes"], "temperature_celsius": gpu["temperature"],
            "utilization_ratio": None if load_of is None else load_of / 100,
        }
        found += [(f"inferops_gpu_{name}", own, value) for name, value in values.items() if value is not None]
    return found


def health(known: t.Iterable[t.Sequence[t.Any]] = ()) -> list[Sample]:
    """Return the health of all GPUs and what it is judged by. A failing nvidia-smi is one of the findings. AMD GPUs are only there or missing.

    :param known: what this has returned before. Where nvidia-smi fails it is repeated, so that no alert ends with the driver
    """
    everywhere = _host.read_services()
    amd = [service for service in everywhere if _is_amd(service)]
    return [*_nvidia_health([service for service in everywhere if service not in amd], known), *missing(_amd_indexes() if amd else [], amd)]


def _is_amd(service: t.Mapping[str, t.Any]) -> bool:
    """Whether the GPUs that a unit names are numbered by HIP."""
    return "HIP_VISIBLE_DEVICES=" in _host.read_text(os.path.join(_host.UNIT_DIRECTORY, service["unit"]))


def _amd_indexes() -> list[int]:
    """HIP's numbers of the GPUs that the kernel has. The tools of ROCm know no more of which are there, and take a second of a core."""
    return [gpu["index"] for gpu in kfd.read()]


def _nvidia_health(services: t.Sequence[t.Mapping[str, t.Any]], known: t.Iterable[t.Sequence[t.Any]]) -> list[Sample]:
    if shutil.which("nvidia-smi") is None:
        return missing([], services)
    examined = collect.examine("", services, _gpu_driver.driver_packages(), _gpu_driver.count_nvswitches())
    if "No devices were found" in examined.error:
        return missing([], services)
    found = [*_of_gpus(examined.gpus), *_findings(examined.findings), *_usable(examined.gpus, examined.findings), *_xids(examined.gpus, examined.events)]
    if examined.error:
        return [*found, *_last_known(known, services, any(one["gpu"] is None and one["level"] == _ERROR for one in examined.findings))]
    return [*found, *missing([gpu["index"] for gpu in examined.gpus], services)]


def _last_known(known: t.Iterable[t.Sequence[t.Any]], services: t.Iterable[t.Mapping[str, t.Any]], is_dead: bool) -> list[Sample]:
    """What was known of the GPUs before nvidia-smi failed. None of them is usable with a dead driver; since a reboot only the services name them."""
    last = [(str(name), dict(labels), float(value)) for name, labels, value in known if name not in _CURRENT]
    if not is_dead:
        return last
    unusable = [labels for name, labels, _value in last if name == _USABLE]
    if not unusable:
        unusable = [{"gpu": str(index), "uuid": ""} for index in sorted({index for service in services for index in service["gpus"] or ()})]
    return [*(sample for sample in last if sample[0] != _USABLE), *((_USABLE, labels, 0.0) for labels in unusable)]


def missing(indexes: t.Collection[int], services: t.Iterable[t.Mapping[str, t.Any]]) -> list[Sample]:
    """Return the GPUs that units name and that are not there.

    :param services: the fact C(services)
    """
    return [
        ("inferops_gpu_missing", {"gpu": str(index), "service": service["service"]}, 1.0)
        for service in services for index in service["gpus"] or () if index not in indexes
    ]


def _own(gpu: t.Mapping[str, t.Any]) -> dict[str, str]:
    return {"gpu": str(gpu["index"]), "uuid": gpu["uuid"]}


def _of_gpus(gpus: t.Iterable[t.Mapping[str, t.Any]]) -> t.Iterator[Sample]:
    for gpu in gpus:
        own = _own(gpu)
        yield "inferops_gpu_info", {**own, "model": gpu["name"], "driver": gpu["driver"]}, 1.0
        values = {
            "power_watts": gpu["power"]["draw"], "power_limit_watts": gpu["power"]["limit"],
            "ecc_uncorrectable": gpu["ecc"]["volatile"], "ecc_correctable": gpu["ecc"]["corrected"],
            "pcie_width": gpu["pcie"]["width"], "pcie_width_max": gpu["pcie"]["max_width"],
        }
        for name, value in values.items():
            if value is not None:
                yield f"inferops_gpu_{name}", own, float(value)
        for reason, names in _THROTTLED.items():
            yield "inferops_gpu_throttled", {**own, "reason": reason}, float(any(name in gpu["clocks"] for name in names))


def _findings(findings: t.Iterable[t.Mapping[str, t.Any]]) -> list[Sample]:
    return [
        (
            "inferops_gpu_finding",
            {"gpu": "" if one["gpu"] is None else str(one["gpu"]), "uuid": one["uuid"], "finding": one["name"], "level": one["level"]}, 1.0,
        )
        for one in findings
    ]


def _usable(gpus: t.Iterable[t.Mapping[str, t.Any]], findings: t.Sequence[t.Mapping[str, t.Any]]) -> list[Sample]:
    """An error of the whole host, such as a driver that does not work, is one of each GPU."""
    bad = {one["gpu"] for one in findings if one["level"] == _ERROR}
    return [(_USABLE, _own(gpu), float(not {gpu["index"], None} & bad)) for gpu in gpus]


def _xids(gpus: t.Iterable[t.Mapping[str, t.Any]], events: t.Iterable[t.Mapping[str, t.Any]]) -> list[Sample]:
    """The XIDs of each GPU. One of a GPU that nvidia-smi no longer lists has the PCI address instead of the UUID."""
    by_bus = {gpu["bus"]: _own(gpu) for gpu in gpus}
    found: list[Sample] = []
    for event in events:
        if event["kind"] == "xid":
            own = by_bus.get(event["bus"], {"gpu": "", "uuid": event["bus"]})
            labels = {**own, "xid": str(event["code"]), "action": xid_catalogue.find(event["code"]).action}
            found += [("inferops_gpu_xids", labels, float(event["count"])), (_XID_LAST, labels, float(event["time"]))]
    return found
