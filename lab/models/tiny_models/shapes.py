# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Configurations of tiny models that write text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .spec import Spec
from .tokens import VOCABULARY

HIDDEN = 64
# Of a model whose heads share the width: vLLM has no kernel on CPUs for heads narrower than 32.
HEADS = 2


def dense(spec: Spec) -> dict[str, Any]:
    """What all tiny models share."""
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": spec.context,
        "initializer_range": 0.1,
        "tie_word_embeddings": False,
    }


def latent(spec: Spec) -> dict[str, Any]:
    """A tiny model with multi-head latent attention: one compressed cache for all heads."""
    return {
        **{key: value for key, value in dense(spec).items() if key != "head_dim"},
        "num_key_value_heads": 4,
        # The compressed cache has its real width: vLLM's kernels know no other.
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "q_lora_rank": 32,
        "qk_nope_head_dim": 32,
        "v_head_dim": 32,
        **glm_experts(),
    }


def glm_experts() -> dict[str, Any]:
    """Experts as GLM and DeepSeek name them: routed ones, a shared one, the first layer dense."""
    return {
        "moe_intermediate_size": 64,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "norm_topk_prob": True,
        # Without it vLLM does not look for the bias of the router, which is among the weights.
        "topk_method": "noaux_tc",
    }


def qwen3_experts() -> dict[str, Any]:
    """Experts as Qwen3 names them."""
    return {"moe_intermediate_size": 64, "num_experts": 4, "num_experts_per_tok": 2, "norm_topk_prob": True}


# By architecture: the configuration class of transformers, and the shape of a tiny one.
SHAPES: dict[str, tuple[str, Callable[[Spec], dict[str, Any]]]] = {
    "DeepseekV3ForCausalLM": ("DeepseekV3Config", latent),
    "Glm4MoeForCausalLM": ("Glm4MoeConfig", lambda spec: {**dense(spec), **glm_experts()}),
    "Glm4MoeLiteForCausalLM": ("Glm4MoeLiteConfig", latent),
    "LlamaForCausalLM": ("LlamaConfig", dense),
    "MistralForCausalLM": ("MistralConfig", dense),
    "Qwen2ForCausalLM": ("Qwen2Config", lambda spec: {key: value for key, value in dense(spec).items() if key != "head_dim"}),
    "Qwen3ForCausalLM": ("Qwen3Config", dense),
    "Qwen3MoeForCausalLM": ("Qwen3MoeConfig", lambda spec: {**dense(spec), **qwen3_experts()}),
}


def configuration(spec: Spec) -> Any:
    """Configuration of a tiny model of the spec's architecture."""
    import transformers

    name, shape = SHAPES[spec.architecture]
    return getattr(transformers, name)(**shape(spec))
