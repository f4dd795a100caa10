# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Weights whose columns share scales in groups, over ranks: what vLLM cuts, and what it refuses to."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.architecture import Architecture, Mla
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.parallel import Parallel
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.placement.layout import GROUPS, misfits

DENSE = {"intermediate_size": 29568, "num_attention_heads": 64, "num_kv_heads": 8, "head_dim": 128, "group_size": 128}
EXPERTS = {"num_experts": 128, "moe_intermediate_size": 1536, "intermediate_size": 12288, "hidden_size": 4096, "group_size": 128}


@pytest.mark.parametrize(
    ("model", "parallel", "words"),
    [
        # Qwen2.5-72B's own size, and the one to which its makers pad it for AWQ.
        ({**DENSE, "quantization": "awq"}, Parallel(2), "29568 over 2 ranks is 14784"),
        ({**DENSE, "quantization": "awq", "intermediate_size": 29696}, Parallel(8), ""),
        ({**DENSE, "quantization": "awq"}, Parallel(1, 8), ""),
        ({**DENSE, "quantization": "gptq", "group_size": 64}, Parallel(2), ""),
        ({**DENSE, "quantization": "gptq", "group_size": 64}, Parallel(4), "groups of 64"),
        ({**DENSE, "quantization": "gptq"}, Parallel(3), "8192 over 3"),
        ({**DENSE, "quantization": "int-group"}, Parallel(2), "29568"),
        ({**DENSE, "quantization": "int-group", "grouped_layers": ("attention",)}, Parallel(2), ""),
        ({**DENSE, "quantization": "int-group", "group_size": None}, Parallel(2), ""),
        # Qwen2.5-0.5B: what attention hands on is 14 heads of 64, said or not.
        ({"quantization": "gptq", "group_size": 128, "num_attention_heads": 14, "num_kv_heads": 2, "hidden_size": 896}, Parallel(2), "896 over 2 ranks is 448"),
        ({"quantization": "gptq", "group_size": 128, "num_attention_heads": 14, "num_kv_heads": 2, "head_dim": 64}, Parallel(2), "896 over 2 ranks is 448"),
        ({"quantization": "awq", "group_size": 128, "num_attention_heads": 20, "mla": Mla(512, 64, v_head_dim=64)}, Parallel(2), ""),
        ({"quantization": "awq", "group_size": 128, "num_attention_heads": 20, "mla": Mla(512, 64, v_head_dim=64)}, Parallel(4), "1280 over 4"),
        # Kernels for experts in AWQ and GPTQ halve groups down to 32; that of compressed-tensors does not.
        ({**EXPERTS, "quantization": "awq"}, Parallel(8), ""),
        ({**EXPERTS, "quantization": "gptq", "moe_intermediate_size": 768}, Parallel(8), ""),
        ({**EXPERTS, "quantization": "gptq", "moe_intermediate_size": 768}, Parallel(16), "groups of 128"),
        ({**EXPERTS, "quantization": "int-group"}, Parallel(4), ""),
        ({**EXPERTS, "quantization": "int-group"}, Parallel(8), "1536 over 8 ranks is 192"),
        ({**EXPERTS, "quantization": "int-group"}, Parallel(8, expert=True), ""),
        ({**EXPERTS, "quantization": "int-group", "shared_experts": 1}, Parallel(8, expert=True), "shared experts"),
        ({**EXPERTS, "quantization": "int-group", "grouped_layers": ("attention", "dense")}, Parallel(8), ""),
    ],
)
def test_groups(model: dict[str, Any], parallel: Parallel, words: str) -> None:
    found = [misfit for misfit in misfits(Architecture(**model), parallel) if misfit.about == GROUPS]
    assert [words in misfit.why for misfit in found] == ([True] if words else [])
