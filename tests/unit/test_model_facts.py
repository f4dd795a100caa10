# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bytes of a model's modules, by the quantisation that its configuration states. Making the model takes torch, and is not tried here."""

from __future__ import annotations

from typing import Any

import pytest
from model_facts import Quantisation

FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ["model.layers.0.mlp.gate", "model.layers.1"]}
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}
NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["backbone.layers.4*", "lm_head"]}
INT4 = {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4, "group_size": 32}}}, "ignore": ["re:.*shared_experts.*"]}
MIXED = {
    "quant_method": "modelopt", "quant_algo": "MIXED_PRECISION",
    "quantized_layers": {"model.layers.0.mlp.experts.0.up_proj": {"quant_algo": "W4A16_NVFP4"}, "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("stated", "module", "is_expert", "size"),
    [
        (FP8, "model.layers.0.mlp.up_proj", False, 1 + 4 / 128**2),
        (FP8, "model.layers.0.mlp.gate", False, 2.0),
        # A listed name means what is below it, and not another one that begins alike.
        (FP8, "model.layers.1.mlp.up_proj", False, 2.0),
        (FP8, "model.layers.10.mlp.up_proj", False, 1 + 4 / 128**2),
        (FP8, "lm_head", False, 2.0),
        (FP8, "model.visual.blocks.0.fc1", False, 2.0),
        (MXFP4, "model.layers.3.mlp.experts", True, 0.5 + 1 / 32),
        (MXFP4, "model.layers.3.self_attn.q_proj", False, 2.0),
        (NVFP4, "model.layers.5.mixer.experts", True, 0.5 + 1 / 16),
        (NVFP4, "model.layers.4.mixer.in_proj", False, 2.0),
        (INT4, "model.layers.1.mlp.experts", True, 0.5 + 2 / 32),
        (INT4, "model.layers.1.mlp.shared_experts.up_proj", False, 2.0),
        (MIXED, "model.layers.0.mlp.experts", True, 0.5 + 1 / 16),
        (MIXED, "model.layers.0.self_attn.q_proj", False, 1.0),
        (MIXED, "model.layers.0.self_attn.k_proj", False, 2.0),
        ({}, "model.layers.0.mlp.up_proj", False, 2.0),
    ],
)
def test_bytes_of_an_element(stated: dict[str, Any], module: str, is_expert: bool, size: float) -> None:
    assert Quantisation({"quantization_config": stated}).element(module, is_expert) == size


def test_a_kind_that_is_not_known_is_no_guess() -> None:
    with pytest.raises(SystemExit, match="take the size of the repository's files"):
        Quantisation({"quantization_config": {"quant_method": "new"}}).element("model.layers.0.mlp.up_proj", False)
