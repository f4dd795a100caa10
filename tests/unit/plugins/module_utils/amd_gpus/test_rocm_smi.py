# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What rocm-smi prints, read into GPUs or into an error of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils.amd_gpus import rocm_smi

DATA = Path(__file__).parent / "data"


def test_four_mi300a() -> None:
    """The driver's version stands once; without --showmeminfo the memory is unknown."""
    found = rocm_smi.parse((DATA / "mi300a-4.rocm-smi.json").read_text(encoding="utf-8"))
    assert [(gpu["index"], gpu["node"]) for gpu in found] == [(0, 4), (1, 5), (2, 6), (3, 7)]
    assert {(gpu["name"], gpu["gfx"], gpu["driver_version"], gpu["memory_bytes"]) for gpu in found} == {("AMD Instinct MI300A", "gfx942", "6.16.13", None)}


def test_one_radeon() -> None:
    (gpu,) = rocm_smi.parse((DATA / "rx7900xt.rocm-smi.json").read_text(encoding="utf-8"))
    assert (gpu["name"], gpu["gfx"], gpu["memory_bytes"], gpu["node"]) == ("Radeon RX 7900 XT", "gfx1100", 21458059264, 1)


def test_keys_of_older_versions_and_unknown_names() -> None:
    """Older versions write "Card series", and a device number in place of an unknown name."""
    text = '{"card3": {"Card series": "0x74a1", "Unique ID": "0x1a2b", "PCI Bus": "0000:C1:00.0", "Compute Partition": "CPX"}}'
    (gpu,) = rocm_smi.parse(text)
    assert (gpu["index"], gpu["name"], gpu["uuid"], gpu["bus_id"], gpu["partition"]) == (3, "", "GPU-0000000000001a2b", "0000:c1:00.0", "CPX")


@pytest.mark.parametrize("text", ["", "WARNING: no", "[]", '{"card0": '])
def test_other_output_is_one_clear_error(text: str) -> None:
    with pytest.raises(ValueError, match="rocm-smi printed"):
        rocm_smi.parse(text)


def test_what_is_no_card_is_left_out() -> None:
    assert rocm_smi.parse('{"system": 5, "cardX": {}, "card1": "N/A", "card99999": {}}') == []
