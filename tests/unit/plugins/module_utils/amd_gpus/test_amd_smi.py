# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What amd-smi prints, read into GPUs or into an error of its own."""

from __future__ import annotations

import json

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils.amd_gpus import amd_smi

DATA = Path(__file__).parent / "data"
MIB = 2**20


def data(name: str) -> str:
    """A recorded output."""
    return (DATA / name).read_text(encoding="utf-8")


def one(**keys: Any) -> str:
    """The output for one GPU with these keys."""
    return json.dumps([{"gpu": 0, **keys}])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mi210", ("AMD Instinct MI210", "gfx90a", 65520 * MIB, "", "", "")),
        ("mi300x", ("AMD Instinct MI300X", "gfx942", 196592 * MIB, "6.19.14", "0000:83:00.0", "GPU-6f1f0a2b3c4d5e6f")),
        ("mi355x", ("AMD Instinct MI355X", "gfx950", 294896 * MIB, "6.16.6", "0000:05:00.0", "")),
    ],
)
def test_recorded(name: str, expected: tuple[Any, ...]) -> None:
    """The driver of the MI210 is the kernel's own, which has no version."""
    (gpu,) = amd_smi.parse(data(f"{name}.static.json"))
    assert (gpu["name"], gpu["gfx"], gpu["memory_bytes"], gpu["driver_version"], gpu["bus_id"], gpu["uuid"]) == expected
    assert gpu["index"] == 0 and gpu["partition"] == ""


def test_the_list_adds_the_kfd_nodes() -> None:
    found = amd_smi.parse(data("mi300x-8.static.json"), data("mi300x-8.list.json"))
    assert [(gpu["index"], gpu["node"]) for gpu in found] == [(index, index + 2) for index in range(8)]


def test_parts_of_a_gpu_are_told_apart() -> None:
    assert [gpu["partition"] for gpu in amd_smi.parse(data("mi300x-cpx.static.json"))] == ["CPX", "a part"]


def test_rocm_6_prints_a_list_and_sizes_as_text() -> None:
    (gpu,) = amd_smi.parse(one(asic={"market_name": "AMD Instinct MI300X"}, vram={"size": "196592 MB"}))
    assert gpu["memory_bytes"] == 196592 * MIB


def test_a_warning_may_precede_the_json() -> None:
    (gpu,) = amd_smi.parse("WARNING: User is missing the following required groups: render, video\n" + data("mi300x.static.json"))
    assert gpu["gfx"] == "gfx942"


def test_cpus_and_network_cards_are_no_gpus() -> None:
    assert amd_smi.parse(json.dumps([{"cpu": 0, "smu": {}}, {"gpu": 3}, {"ai_nic": 0}]))[0]["index"] == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "printed no JSON"),
        ("Segmentation fault", "printed no JSON: 'Segmentation fault'"),
        ("[{", "printed invalid JSON"),
        ("[" * 100000, "printed invalid JSON"),
        ("{}", "without a list of GPUs"),
        ('{"gpu_data": {"gpu": 0}}', "without a list of GPUs"),
        ('[{"gpu": "0"}]', "whose number is '0'"),
        ('[{"gpu": true}]', "whose number is"),
        ('[{"gpu": 99999}]', "whose number is '99999'"),
        ('[{"gpu": 0}, {"gpu": 0}]', "printed a GPU twice"),
    ],
)
def test_other_output_is_one_clear_error(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="amd-smi") as error:
        amd_smi.parse(text)
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("keys", "unknown"),
    [
        ({"asic": "N/A", "vram": None, "bus": [], "driver": 5}, ("name", "gfx", "bus_id", "driver_version")),
        ({"asic": {"market_name": 7, "target_graphics_version": "N/A"}}, ("name", "gfx")),
        ({"asic": {"target_graphics_version": "gfx942x; rm -rf /"}}, ("gfx",)),
        ({"bus": {"bdf": "0000:83:00.0; reboot"}}, ("bus_id",)),
        ({"driver": {"version": "$(id)"}}, ("driver_version",)),
        ({"asic": {"asic_serial": "0x" + "F" * 40}}, ("uuid",)),
        ({"asic": {"asic_serial": "0x" + "F" * 16}}, ("uuid",)),
        ({"asic": {"asic_serial": "0x0"}}, ("uuid",)),
    ],
)
def test_a_value_that_is_none_is_unknown(keys: dict[str, Any], unknown: tuple[str, ...]) -> None:
    (gpu,) = amd_smi.parse(one(**keys))
    assert [gpu[name] for name in unknown] == [""] * len(unknown)


@pytest.mark.parametrize("size", ["N/A", {"value": "N/A", "unit": "MB"}, {"value": 0, "unit": "MB"}, {"value": 10**17, "unit": "TB"}, {"value": -1, "unit": "MB"}, 7, None])
def test_memory_that_is_not_plausible_is_unknown(size: Any) -> None:
    assert amd_smi.parse(one(vram={"size": size}))[0]["memory_bytes"] is None


def test_names_are_printable_and_short() -> None:
    (gpu,) = amd_smi.parse(one(asic={"market_name": "AMD\x1b[31m\n" + "X" * 500}))
    assert gpu["name"].isprintable() and len(gpu["name"]) == 100


@pytest.mark.parametrize(
    ("text", "version"),
    [('[{"tool": "AMDSMI Tool", "version": "26.2.1", "rocm_version": "7.2.3"}]', "7.2.3"), ('[{"rocm_version": "N/A"}]', ""), ("no", ""), ("[]", "")],
)
def test_the_rocm_version(text: str, version: str) -> None:
    assert amd_smi.parse_version(text) == version
