# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inputs of the plan without errors, to be spoilt by the tests."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import PlanError


def service(**keys: Any) -> dict[str, Any]:
    """A service without errors on a host with four GPUs, with these keys over it; a key given as ... is taken out."""
    made = {"name": "qwen", "model": "qwen3-235b-a22b-instruct-2507-fp8", "port": 8001, "gpus": [0, 1, 2, 3], **keys}
    return {key: value for key, value in made.items() if value is not ...}


def host_facts(**keys: Any) -> dict[str, Any]:
    """Facts of a host with four GPUs of which nothing more is known, nothing listening and a terabyte free."""
    gpus = [{"index": index} for index in range(4)]
    return {"gpus": gpus, "gpu_error": "", "listeners": [], "mounts": [{"mount": "/", "free_bytes": 10**12}], "weights": [], **keys}


def gpus(count: int = 4, **keys: Any) -> list[dict[str, Any]]:
    """GPUs as facts and plan_gpus have them: H100s, with these keys over what they are."""
    made = {"name": "NVIDIA H100 80GB HBM3", "memory_bytes": 81559 * 2**20, "compute_capability": "9.0", "driver_version": "580.65.06", **keys}
    return [{"index": index, **made} for index in range(count)]


def keys_of(errors: list[PlanError]) -> list[tuple[str, str]]:
    """Service and key of each error."""
    return [(error.service, error.key) for error in errors]


LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}
