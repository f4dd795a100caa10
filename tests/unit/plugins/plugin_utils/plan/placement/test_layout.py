# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How models can be cut: heads, FP8 blocks, stages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.catalogue import Catalogue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.architecture import Architecture
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.parallel import Parallel, parallel_of, stages
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.placement.layout import expert_layouts, fits, misfits, tensor_sizes

POWERS = (1, 2, 4, 8, 16)

# Tensor parallel sizes, among powers of 2, that the model allows; without expert parallel, and with it.
VALID = [
    ("glm-4.7", (1, 2, 4, 8, 16), (1, 2, 4, 8, 16)),
    # Scales for channels: the rule of the blocks is not theirs.
    ("glm-4.7-fp8", (1, 2, 4, 8, 16), (1, 2, 4, 8, 16)),
    # 20 heads.
    ("glm-4.7-flash", (1, 2, 4), (1, 2, 4)),
    ("qwen3-14b", (1, 2, 4, 8), (1, 2, 4, 8)),
    ("qwen3-32b", (1, 2, 4, 8, 16), (1, 2, 4, 8, 16)),
    # 25600 / 16 is 12.5 blocks.
    ("qwen3-32b-fp8", (1, 2, 4, 8), (1, 2, 4, 8)),
    ("qwen3-30b-a3b", (1, 2, 4, 8, 16), (1, 2, 4, 8, 16)),
    # 768 is 6 blocks.
    ("qwen3-30b-a3b-fp8", (1, 2), (1, 2, 4, 8, 16)),
    ("qwen3-235b-a22b", (1, 2, 4, 8, 16), (1, 2, 4, 8, 16)),
    # 1536 is 12 blocks.
    ("qwen3-235b-a22b-instruct-2507-fp8", (1, 2, 4), (1, 2, 4, 8, 16)),
    ("qwen3-coder-480b-a35b-instruct", (1, 2, 4, 8, 16), (1, 2, 4, 8, 16)),
    # 2560 is 20 blocks.
    ("qwen3-coder-480b-a35b-instruct-fp8", (1, 2, 4), (1, 2, 4, 8, 16)),
    # Its shared expert is as small as a routed one, and is sliced whatever happens to those.
    ("qwen3.5-35b-a3b-fp8", (1, 2, 4), (1, 2, 4)),
    ("qwen3.5-122b-a10b-fp8", (1, 2, 4, 8), (1, 2, 4, 8)),
]


@pytest.mark.parametrize(("name", "without", "with_expert"), VALID)
def test_tensor_parallel(catalogue: Catalogue, name: str, without: tuple[int, ...], with_expert: tuple[int, ...]) -> None:
    """Both sides of the bound for each model."""
    model = catalogue.entries[name].architecture
    assert tuple(size for size in POWERS if fits(model, Parallel(tensor=size))) == without
    assert tuple(size for size in POWERS if fits(model, Parallel(tensor=size, expert=True))) == with_expert


# Tensor parallel sizes where vLLM refines the scales of routed experts, from 0.29 on: 192 to 64, 96 to 32, 320 to 64. Dense layers stay as they are.
REFINED = [
    ("qwen3-30b-a3b-fp8", (1, 2, 4, 8)),
    ("qwen3-235b-a22b-instruct-2507-fp8", (1, 2, 4, 8, 16)),
    ("qwen3-coder-480b-a35b-instruct-fp8", (1, 2, 4, 8, 16)),
    ("qwen3-32b-fp8", (1, 2, 4, 8)),
]


@pytest.mark.parametrize(("name", "sizes"), REFINED)
def test_refined_blocks(catalogue: Catalogue, name: str, sizes: tuple[int, ...]) -> None:
    """What vLLM refines, down to blocks of 32; 768 / 16 would need 16."""
    model = catalogue.entries[name].architecture
    assert tuple(size for size in POWERS if fits(model, Parallel(tensor=size), refines=True)) == sizes


def test_data_parallel_cuts_experts_as_well(catalogue: Catalogue) -> None:
    """Without expert parallel vLLM slices experts over tensor and data parallel ranks together."""
    model = catalogue.entries["qwen3-coder-480b-a35b-instruct-fp8"].architecture
    assert fits(model, Parallel(data=4)) and fits(model, Parallel(tensor=2, data=2))
    assert not fits(model, Parallel(data=8)) and not fits(model, Parallel(tensor=4, data=2))
    assert fits(model, Parallel(data=8, expert=True))


def test_ways_out(catalogue: Catalogue) -> None:
    """The largest that divides, and whole experts within tensor or over data parallel."""
    model = catalogue.entries["qwen3-coder-480b-a35b-instruct-fp8"].architecture
    eight = Parallel(tensor=8)
    [misfit] = misfits(model, eight)
    assert misfit.key == "tensor_parallel_size" and "2560 over 8 ranks is 320" in misfit.why
    assert tensor_sizes(model, eight, 8) == [1, 2, 4]
    assert expert_layouts(model, eight) == [replace(eight, expert=True), Parallel(data=8, expert=True)]
    assert expert_layouts(catalogue.entries["qwen3-32b-fp8"].architecture, Parallel(tensor=16)) == []


HEADS = Architecture(num_attention_heads=48, num_kv_heads=8)


@pytest.mark.parametrize(
    ("size", "good"), [(1, True), (2, True), (3, False), (4, True), (5, False), (6, False), (8, True), (16, True), (24, True), (12, False)]
)
def test_heads(size: int, good: bool) -> None:
    """48 heads and 8 KV heads: those divide among up to 8 ranks and are copied evenly beyond."""
    assert fits(HEADS, Parallel(tensor=size)) is good


@pytest.mark.parametrize(("tensor", "dealt", "good"), [(8, 1, True), (16, 2, True), (8, 2, False), (16, 4, False), (16, 3, False)])
def test_decode_context(tensor: int, dealt: int, good: bool) -> None:
    """Tokens are dealt out among copies of KV heads."""
    assert fits(HEADS, Parallel(tensor=tensor, decode_context=dealt)) is good


@pytest.mark.parametrize(
    ("layers", "pipeline", "partition", "parts"),
    [
        (92, 2, None, [46, 46]),
        (94, 4, None, [23, 24, 24, 23]),
        (7, 3, None, [2, 3, 2]),
        (3, 3, None, [1, 1, 1]),
        (3, 4, None, None),
        (10, 2, "4,6", [4, 6]),
        (10, 2, " 4 , 6 ", [4, 6]),
        (10, 2, "4,5", None),
        (10, 2, "4,3,3", None),
        (10, 2, "4,x", None),
        (10, 2, "", None),
    ],
)
def test_stages(layers: int, pipeline: int, partition: str | None, parts: list[int] | None) -> None:
    """As vLLM deals layers out."""
    assert stages(layers, pipeline, partition) == parts


def test_more_stages_than_layers() -> None:
    """One layer a stage at least."""
    model = Architecture(num_layers=4)
    assert fits(model, Parallel(pipeline=4)) and not fits(model, Parallel(pipeline=5))


def test_nothing_known_fits() -> None:
    """What is not stated is no error."""
    assert fits(Architecture(), Parallel(tensor=7, pipeline=3, data=5))


def test_sizes_from_arguments() -> None:
    """Numbers as numbers or text; anything else and there are none."""
    assert parallel_of({"tensor_parallel_size": "4", "data_parallel_size": 2, "enable_expert_parallel": True}) == Parallel(tensor=4, data=2, expert=True)
    assert parallel_of({"tensor_parallel_size": "four"}) is None
