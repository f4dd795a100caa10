# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nvidia-smi reports about GPUs' health: recorded outputs, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.gpu_health import nvidia_report, verdict

DATA = Path(__file__).parent / "data"


def one(name: str) -> dict[str, Any]:
    (gpu,) = nvidia_report.parse((DATA / name).read_text())
    return gpu


def test_an_idle_workstation_card() -> None:
    gpu = one("rtx-4000-ada.xml")
    assert (gpu["index"], gpu["bus"], gpu["recovery"], gpu["reset_required"], gpu["state"]) == (0, "0000:06:00", "None", None, "P8")
    assert gpu["pcie"] == {"width": 16, "max_width": 16, "generation": 1, "max_generation": 4}
    assert gpu["clocks"] == [] and gpu["persistence"] == "Enabled" and not gpu["mig"] and gpu["broken"] == ""
    assert gpu["ecc"] == {
        "volatile": None, "aggregate": None, "corrected": None, "sram_threshold": None, "pending": False, "failure": False, "remapped": 0, "retirement": None,
    }
    assert gpu["fabric"]["state"] == "" and gpu["fabric"]["health"]["route_unhealthy"] == "N/A"


def test_an_older_driver_with_mig() -> None:
    """No recovery action, but whether a reset is required; rows are not reported with MIG."""
    gpu = one("a100-mig.xml")
    assert (gpu["recovery"], gpu["reset_required"], gpu["mig"], gpu["persistence"]) == ("", False, True, "Disabled")
    assert gpu["ecc"] == {
        "volatile": 0, "aggregate": 0, "corrected": 0, "sram_threshold": None, "pending": None, "failure": None, "remapped": None, "retirement": None,
    }


def test_a_gpu_that_has_to_be_reset() -> None:
    gpu = one("a800-reset.xml")
    ecc = gpu["ecc"]
    assert (gpu["recovery"], ecc["volatile"], ecc["aggregate"], ecc["pending"], ecc["failure"]) == ("Drain and Reset", 32, 71, True, False)
    assert gpu["processes"] == [{"pid": 456, "name": "", "type": ""}]


def test_a_data_center_gpu_that_serves() -> None:
    """An H100 in a virtual machine (no state of a fabric) with nothing to do, and with an engine on it."""
    idle, serving = one("h100-idle.xml"), one("h100-vllm.xml")
    assert serving["processes"] == [{"pid": 1255, "name": "VLLM::EngineCore", "type": "C"}] and idle["processes"] == []
    assert {**serving, "processes": []} == idle
    assert (idle["recovery"], idle["state"], idle["broken"], idle["clocks"], idle["fabric"]["state"]) == ("None", "P0", "", [], "")
    assert idle["pcie"] == {"width": 16, "max_width": 16, "generation": 5, "max_generation": 5}
    assert idle["ecc"] == {
        "volatile": 0, "aggregate": 0, "corrected": 0, "sram_threshold": False, "pending": False, "failure": False, "remapped": 0, "retirement": None,
    }
    assert verdict.of_gpus([idle, {**serving, "index": 1}], [], 0, 0.0, {}) == []


def xml(inner: str) -> dict[str, Any]:
    (gpu,) = nvidia_report.parse(f'<nvidia_smi_log><gpu id="00000000:01:00.0">{inner}</gpu></nvidia_smi_log>')
    return gpu


POWER = {
    "580": ("<gpu_power_readings><average_power_draw>185.11 W</average_power_draw><instant_power_draw>121.87 W</instant_power_draw>"
            "<current_power_limit>700.00 W</current_power_limit></gpu_power_readings>", {"draw": 185.11, "limit": 700.0}),
    "510": ("<power_readings><power_draw>30 W</power_draw><enforced_power_limit>N/A</enforced_power_limit><power_limit>250.00 W</power_limit></power_readings>",
            {"draw": 30.0, "limit": 250.0}),
    "none": ("", {"draw": None, "limit": None}),
}


@pytest.mark.parametrize("driver", POWER)
def test_power_in_watts(driver: str) -> None:
    """Elements of driver 580 as recorded on an H100, and those of older drivers."""
    inner, expected = POWER[driver]
    assert xml(inner)["power"] == expected


def test_corrected_errors() -> None:
    volatile = "<sram_correctable>3</sram_correctable><sram_uncorrectable_parity>9</sram_uncorrectable_parity><dram_correctable>4</dram_correctable>"
    assert xml(f"<ecc_errors><volatile>{volatile}</volatile></ecc_errors>")["ecc"]["corrected"] == 7
    assert xml("<ecc_errors><volatile><single_bit><total>5</total></single_bit></volatile></ecc_errors>")["ecc"]["corrected"] == 5


BROKEN = {
    "lost": ("<temperature><gpu_temp>GPU is lost</gpu_temp></temperature>", "GPU is lost"),
    "to be reset": ("<performance_state>GPU requires reset</performance_state>", "GPU requires reset"),
    "healthy": ("<performance_state>P0</performance_state>", ""),
    "no such value": ("<performance_state>N/A</performance_state>", ""),
}


@pytest.mark.parametrize("what", BROKEN)
def test_errors_in_place_of_values(what: str) -> None:
    inner, expected = BROKEN[what]
    assert xml(inner)["broken"] == expected


CLOCKS = {
    "events": ("<clocks_event_reasons><clocks_event_reason_sw_thermal_slowdown>Active</clocks_event_reason_sw_thermal_slowdown></clocks_event_reasons>",
               ["sw_thermal_slowdown"]),
    "throttle reasons of older drivers": (
        "<clocks_throttle_reasons><clocks_throttle_reason_hw_slowdown>Active</clocks_throttle_reason_hw_slowdown>"
        "<clocks_throttle_reason_hw_power_brake_slowdown>Active</clocks_throttle_reason_hw_power_brake_slowdown></clocks_throttle_reasons>",
        ["hw_power_brake_slowdown"],
    ),
    "normal operation": (
        "<clocks_event_reasons><clocks_event_reason_sw_power_cap>Active</clocks_event_reason_sw_power_cap>"
        "<clocks_event_reason_gpu_idle>Active</clocks_event_reason_gpu_idle></clocks_event_reasons>", [],
    ),
}


@pytest.mark.parametrize("what", CLOCKS)
def test_clocks(what: str) -> None:
    inner, expected = CLOCKS[what]
    assert xml(inner)["clocks"] == expected


def test_counters_of_old_drivers() -> None:
    """One sum for all memory with double-bit errors."""
    gpu = xml("<ecc_errors><volatile><double_bit><device_memory>2</device_memory><total>3</total></double_bit></volatile></ecc_errors>")
    assert gpu["ecc"]["volatile"] == 3


def test_links() -> None:
    links = nvidia_report.parse_nvlinks((DATA / "v100.nvlink").read_text())
    assert list(links) == [0, 1, 2, 3] and all(links[0].values())
    assert links[3] == {0: True, 1: True, 2: True, 3: False, 4: True, 5: False}
    assert nvidia_report.parse_nvlinks("GPU 0: NVIDIA L4 (UUID: GPU-x)\n") == {}


@pytest.mark.parametrize("text", ["", "No devices were found", "<other/>", "<nvidia_smi_log>"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="nvidia-smi -q -x"):
        nvidia_report.parse(text)
