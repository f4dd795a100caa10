# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inputs of the plan without errors, to be spoilt by the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils.amd_gpus import amd_smi
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


_AMD_OUTPUTS = Path(__file__).resolve().parents[2] / "module_utils" / "amd_gpus" / "data"
NOBLE = {"os": {"id": "ubuntu", "version_id": "24.04", "like": ["debian"]}, "architecture": "x86_64", "systemd": True, "glibc": "2.39", "python": "3.12.3"}


def amd_gpus(name: str = "mi300x-8") -> list[dict[str, Any]]:
    """GPUs as the facts have them, from outputs of amd-smi: recorded or documented, see the directory's README."""
    texts = [path.read_text(encoding="utf-8") if path.exists() else "" for path in (_AMD_OUTPUTS / f"{name}.{kind}.json" for kind in ("static", "list"))]
    return amd_smi.parse(*texts)


def amd_facts(name: str = "mi300x-8", amd: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """Facts of a host with Ubuntu 24.04, ROCm 7.2.3 and the GPUs of an output of amd-smi, with C(amd) over what is known about these."""
    found = {"gpus": amd_gpus(name), "source": "amd-smi", "warnings": [], "error": "", "fix": "", "rocm_version": "7.2.3", "closed_devices": []}
    return host_facts(**{**NOBLE, "gpus": [], "amd": {**found, "device_groups": ["render"], **(amd or {})}, **keys})
