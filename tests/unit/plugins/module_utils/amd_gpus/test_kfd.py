# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel's own description of GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils.amd_gpus import kfd

MI300X = "simd_count 1216\ngfx_target_version 90402\nvendor_id 4098\ndevice_id 29857\nlocation_id {place}\ndomain 0\nunique_id {unique}\n"
CPU = "cpu_cores_count 48\nsimd_count 0\ngfx_target_version 0\n"


def node(root: Path, number: int, properties: str, *banks: str) -> None:
    """Write one node of the tree."""
    folder = root / str(number)
    folder.mkdir()
    (folder / "properties").write_text(properties, encoding="utf-8")
    for index, bank in enumerate(banks):
        (folder / "mem_banks" / str(index)).mkdir(parents=True)
        (folder / "mem_banks" / str(index) / "properties").write_text(bank, encoding="utf-8")


def test_a_host_with_two_gpus(tmp_path: Path) -> None:
    """The first node is a CPU; of memory only the GPU's own counts."""
    node(tmp_path, 0, CPU, "heap_type 0\nsize_in_bytes 540000000000\n")
    node(tmp_path, 10, MI300X.format(place=0x2600, unique=2001), "heap_type 1\nsize_in_bytes 206141652992\n", "heap_type 0\nsize_in_bytes 9\n")
    node(tmp_path, 2, MI300X.format(place=0x0509, unique=5752170827923136638), "heap_type 1\nsize_in_bytes 206141652992\n")
    driver = tmp_path / "version"
    driver.write_text("6.16.13\n", encoding="utf-8")
    first, second = kfd.read(str(tmp_path), str(driver))
    assert (first["index"], first["node"], first["bus_id"], first["uuid"]) == (0, 2, "0000:05:01.1", "GPU-4fd3d0e445b9207e")
    assert (second["index"], second["node"], second["bus_id"]) == (1, 10, "0000:26:00.0")
    assert {(gpu["name"], gpu["gfx"], gpu["memory_bytes"], gpu["driver_version"], gpu["partition"]) for gpu in (first, second)} == {
        ("AMD Instinct MI300X", "gfx942", 206141652992, "6.16.13", ""),
    }


def test_parts_of_a_gpu_have_one_number(tmp_path: Path) -> None:
    for number in (1, 2):
        node(tmp_path, number, MI300X.format(place=0x0500 + number, unique=7))
    assert [gpu["partition"] for gpu in kfd.read(str(tmp_path))] == ["a part", "a part"]


@pytest.mark.parametrize(
    ("version", "gfx"),
    [(90402, "gfx942"), (90010, "gfx90a"), (90500, "gfx950"), (110000, "gfx1100"), (110501, "gfx1151"), (120001, "gfx1201"), (0, ""), (10**9, "")],
)
def test_the_kernels_numbers(version: int, gfx: str) -> None:
    assert kfd.gfx_of(version) == gfx


@pytest.mark.parametrize("properties", ["", "gfx_target_version", "gfx_target_version x\n", "gfx_target_version -1\n", "\0" * 100, "gfx_target_version " + "9" * 5000])
def test_broken_files_are_no_gpus(tmp_path: Path, properties: str) -> None:
    node(tmp_path, 1, properties)
    (tmp_path / "generation_id").write_text("2\n", encoding="utf-8")
    assert kfd.read(str(tmp_path)) == []


def test_without_the_driver_there_are_none(tmp_path: Path) -> None:
    assert kfd.read(str(tmp_path / "none")) == []


def test_unknown_values(tmp_path: Path) -> None:
    node(tmp_path, 1, "gfx_target_version 110000\n")
    (gpu,) = kfd.read(str(tmp_path), str(tmp_path / "version"))
    assert (gpu["name"], gpu["memory_bytes"], gpu["bus_id"], gpu["uuid"], gpu["driver_version"], gpu["partition"]) == ("", None, "", "", "", "")
