# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of an adapter's configuration vLLM refuses."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm import lora


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({}, []),
        ({"bias": "none"}, []),
        ({"bias": "all"}, ["LoRA with bias of the base layers"]),
        ({"bias": "lora_only", "use_dora": True}, ["DoRA", "LoRA with bias of the base layers"]),
        # Not the default: vLLM compares it with "none".
        ({"bias": None}, ["LoRA with bias of the base layers"]),
        ({"lora_bias": True}, ["LoRA with bias"]),
        ({"init_lora_weights": "pissa"}, ["init_lora_weights pissa"]),
        ({"modules_to_save": ["score", "lm_head"]}, ["modules_to_save lm_head"]),
    ],
)
def test_refused_features(config: dict[str, Any], refused: list[str]) -> None:
    assert lora.refused_features(config) == refused
