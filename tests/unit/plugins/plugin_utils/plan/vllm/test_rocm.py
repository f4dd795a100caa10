# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of AMD GPUs and of vLLM's wheels for them."""

from __future__ import annotations

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.versions import Version, parse
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.rocm import is_rocm_build
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.tables import Tables


def version(text: str) -> Version:
    """A version that is one."""
    found = parse(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("0.13.0", None), ("0.14.0", "rocm700"), ("0.18.0", "rocm700"), ("0.19.0", "rocm721"), ("0.22.0", "rocm721"), ("0.22.1", "rocm722"),
        ("0.23.0", "rocm723"), ("0.31.0", "rocm723"), ("0.31.1", None), ("0.32.0", None),
    ],
)
def test_wheels_of_a_version(tables: Tables, text: str, variant: str | None) -> None:
    found = tables.platforms.rocm.wheels(version(text))
    assert (found.variant if found else None) == variant


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("0.14.1", ("0.14.1+rocm700", "https://wheels.vllm.ai/rocm/0.14.1/rocm700")),
        ("0.20.0+cu129", ("0.20.0+rocm721", "https://wheels.vllm.ai/rocm/0.20.0/rocm721")),
        ("0.32.0", ("0.31.0+rocm723", "https://wheels.vllm.ai/rocm/0.31.0/rocm723")),
        ("0.9.0", ("0.31.0+rocm723", "https://wheels.vllm.ai/rocm/0.31.0/rocm723")),
    ],
)
def test_what_is_offered_instead(tables: Tables, text: str, offered: tuple[str, str]) -> None:
    assert tables.platforms.rocm.offered(version(text)) == offered


@pytest.mark.parametrize(("text", "is_one"), [("0.31.0+rocm723", True), ("0.31.0", False), ("0.31.0+cpu", False), ("0.31.0+cu130", False), ("0.31.0+rocm", False)])
def test_builds(text: str, is_one: bool) -> None:
    assert is_rocm_build(version(text)) is is_one


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("AMD Instinct MI300X", "MI300X"), ("mi300x", "MI300X"), ("AMD Instinct MI300X VF", "MI300X"), ("AMD Radeon RX 7900 XTX", "RX7900XTX"),
        ("Radeon RX 7900 XT", "RX7900XT"), ("AMD Radeon AI PRO R9700", "R9700"), ("NVIDIA H100 80GB HBM3", None), ("", None), ("MI100", None),
    ],
)
def test_gpus_by_their_names(tables: Tables, name: str, model: str | None) -> None:
    found = tables.platforms.rocm.model(name)
    assert (found.name if found else None) == model


def test_the_table_agrees_with_itself(tables: Tables) -> None:
    """A target that something is said of is one that there are kernels for."""
    rocm = tables.platforms.rocm
    assert {*rocm.fp8, *rocm.mx, *rocm.sparse_mla, *rocm.aiter} <= set(rocm.gfx)
    assert all(model.gfx in rocm.gfx for model in rocm._models)
    known = tables.platforms.systems
    assert all(release in known[system] for system, releases in rocm.packages.items() for release in releases)
