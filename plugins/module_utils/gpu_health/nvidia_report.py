# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nvidia-smi reports about the health of each GPU: C(nvidia-smi -q -x), and C(nvidia-smi nvlink -s) for the state of NVLinks.

Elements are those of nvsmi_device_v11.dtd to v13.dtd (drivers 510 to 590). A value that the driver does not have is None or an empty text.
"""

from __future__ import annotations

import re
import typing as t

from xml.etree import ElementTree

from .._nvidia import is_broken, read_log
from . import kernel_log

# Elements in which a GPU that is lost or has to be reset shows an error instead of a value.
_STATE = ("performance_state", "temperature/gpu_temp", "utilization/gpu_util", "mig_mode/current_mig")
# Reasons why clocks are lower than requested, without those of normal operation: idle, a power limit, clocks that an operator has set.
CLOCK_REASONS = {
    "hw_thermal_slowdown": "the GPU is too hot (hardware)",
    "sw_thermal_slowdown": "the GPU is too hot (driver)",
    "hw_power_brake_slowdown": "the power supply asks for less (power brake)",
    "hw_slowdown": "the hardware holds them back",
}
_UNKNOWN = ("", "n/a", "[n/a]", "not supported", "requested functionality has been deprecated")
_LISTED = re.compile(r"GPU (\d+): ")
_LINK = re.compile(r"\s+Link (\d+): (\S.*)")


def parse(text: str) -> list[dict[str, t.Any]]:
    """Parse C(nvidia-smi -q -x): the GPUs in the order of their indexes. Raises ValueError for other text."""
    log = read_log(text)
    return [_gpu(index, gpu, log) for index, gpu in enumerate(log.findall("gpu"))]


def _gpu(index: int, gpu: ElementTree.Element, log: ElementTree.Element) -> dict[str, t.Any]:
    return {
        "index": index,
        "uuid": _text(gpu, "uuid"),
        "bus": kernel_log.address(gpu.get("id", "")),
        "name": _text(gpu, "product_name"),
        "broken": next((value for value in (_raw(gpu, path) for path in _STATE) if is_broken(value)), ""),
        # Since driver 570; and what older drivers have, which newer ones call deprecated.
        "recovery": _text(gpu, "gpu_recovery_action"),
        "reset_required": _either(_yes(gpu, "gpu_reset_status/reset_required"), _yes(gpu, "gpu_reset_status/drain_and_reset_recommended")),
        "state": _text(gpu, "performance_state") or _text(gpu, "pstate"),
        "persistence": _text(gpu, "persistence_mode"),
        "mig": _text(gpu, "mig_mode/current_mig") == "Enabled",
        "driver": (log.findtext("driver_version") or "").strip(),
        # In watts.
        "power": {"draw": _power(gpu, "draw"), "limit": _power(gpu, "limit")},
        "slices": [uuid for uuid in (_text(one, "uuid") for one in gpu.findall("mig_devices/mig_device")) if uuid],
        "ecc": _ecc(gpu),
        "clocks": _clocks(gpu),
        "pcie": {
            "width": _number(gpu, "pci/pci_gpu_link_info/link_widths/current_link_width"),
            "max_width": _number(gpu, "pci/pci_gpu_link_info/link_widths/max_link_width"),
            "generation": _number(gpu, "pci/pci_gpu_link_info/pcie_gen/current_link_gen"),
            "max_generation": _number(gpu, "pci/pci_gpu_link_info/pcie_gen/max_link_gen"),
        },
        "fabric": {
            "state": _text(gpu, "fabric/state"), "status": _text(gpu, "fabric/status"),
            "health": {item.tag.lower(): (item.text or "").strip() for item in gpu.findall("fabric/health/*")},
        },
        "processes": [
            {"pid": int(pid), "name": _text(one, "process_name"), "type": _text(one, "type")}
            for one in gpu.findall("processes/process_info") for pid in [_text(one, "pid")] if pid.isdigit()
        ],
    }


def _ecc(gpu: ElementTree.Element) -> dict[str, t.Any]:
    """Uncorrectable errors since the driver was loaded (C(volatile)) and ever (C(aggregate)), and what was done about bad memory.

    Drivers before 450 have other counters, of which C(total) of C(double_bit) is the sum.
    """
    return {
        **{which: _uncorrectable(gpu.find(f"ecc_errors/{which}")) for which in ("volatile", "aggregate")},
        "corrected": _corrected(gpu.find("ecc_errors/volatile")),
        "sram_threshold": _yes(gpu, "ecc_errors/aggregate/sram_threshold_exceeded"),
        "pending": _yes(gpu, "remapped_rows/remapped_row_pending"),
        "failure": _either(_yes(gpu, "remapped_rows/remapped_row_failure"), _yes(gpu, "ecc_errors/unrepairable_memory")),
        "remapped": _number(gpu, "remapped_rows/remapped_row_unc"),
        # GPUs before Ampere retire pages instead of remapping rows.
        "retirement": _yes(gpu, "retired_pages/pending_retirement"),
    }


def _uncorrectable(errors: ElementTree.Element | None) -> int | None:
    if errors is None:
        return None
    texts = [(item.text or "").strip() for item in errors if "uncorrectable" in item.tag] or [(errors.findtext("double_bit/total") or "").strip()]
    known = [int(text) for text in texts if text.isdigit()]
    return sum(known) if known else None


def _corrected(errors: ElementTree.Element | None) -> int | None:
    """Corrected errors since the driver was loaded; drivers before 450 have their sum in C(single_bit)."""
    if errors is None:
        return None
    # "uncorrectable" contains "correctable".
    texts = [(item.text or "").strip() for item in errors if item.tag.endswith("correctable") and "uncorrectable" not in item.tag]
    known = [int(text) for text in texts or [(errors.findtext("single_bit/total") or "").strip()] if text.isdigit()]
    return sum(known) if known else None


# Elements with the power in watts, the newest driver's first (nvsmi_device_v11.dtd to v13.dtd).
_POWER = {
    "draw": ("gpu_power_readings/average_power_draw", "gpu_power_readings/power_draw", "gpu_power_readings/instant_power_draw", "power_readings/power_draw"),
    "limit": ("gpu_power_readings/current_power_limit", "power_readings/enforced_power_limit", "power_readings/power_limit"),
}


def _power(gpu: ElementTree.Element, which: str) -> float | None:
    """The number in "70.55 W"."""
    matches = (re.match(r"(\d+(?:\.\d+)?) W", _text(gpu, path)) for path in _POWER[which])
    return next((float(match[1]) for match in matches if match), None)


def _clocks(gpu: ElementTree.Element) -> list[str]:
    """Reasons of C(CLOCK_REASONS) that are active. Drivers before 545 call them throttle reasons."""
    active = {
        item.tag.partition("_reason_")[2]
        for group in ("clocks_event_reasons", "clocks_throttle_reasons") for item in gpu.findall(f"{group}/*") if (item.text or "").strip() == "Active"
    }
    found = [reason for reason in CLOCK_REASONS if reason in active]
    # The general reason comes with each of the specific ones.
    return [reason for reason in found if reason != "hw_slowdown" or not {"hw_thermal_slowdown", "hw_power_brake_slowdown"} & active]


def parse_nvlinks(text: str) -> dict[int, dict[int, bool]]:
    """Parse C(nvidia-smi nvlink -s): for each GPU with NVLinks whether each link is active. GPUs without any are left out."""
    found: dict[int, dict[int, bool]] = {}
    gpu = -1
    for line in text.splitlines():
        listed, link = _LISTED.match(line), _LINK.match(line)
        if listed:
            gpu = int(listed[1])
        elif link and gpu >= 0:
            found.setdefault(gpu, {})[int(link[1])] = link[2].strip() != "<inactive>"
    return found


def _raw(gpu: ElementTree.Element, path: str) -> str:
    return (gpu.findtext(path) or "").strip()


def _text(gpu: ElementTree.Element, path: str) -> str:
    found = _raw(gpu, path)
    return "" if found.lower() in _UNKNOWN or is_broken(found) else found


def _yes(gpu: ElementTree.Element, path: str) -> bool | None:
    return {"yes": True, "no": False}.get(_text(gpu, path).lower())


def _either(first: bool | None, second: bool | None) -> bool | None:
    """Whether one of them is true; None when neither is known."""
    return None if first is None and second is None else bool(first or second)


def _number(gpu: ElementTree.Element, path: str) -> int | None:
    """The number in "16x" or "4"."""
    match = re.match(r"(\d+)", _text(gpu, path))
    return int(match[1]) if match else None
