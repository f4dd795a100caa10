# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM's NixlConnector compares at the first contact of two services, as vLLM resolves it from their arguments.

Source: vLLM 0.32.0, kv_connector/v1/nixl/metadata.py (compute_nixl_compatibility_hash). C(UNKNOWN) stands for what vLLM chooses by facts that the plan does
not have: it may be equal to anything.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

from ..artifacts.draft_models import method_of
from ..vllm import arguments as args
from .draft import ServiceDraft

UNKNOWN = object()

# Spellings of a type (utils/torch_utils.py, STR_DTYPE_TO_TORCH_DTYPE), and what auto is for weights of these types.
_DTYPES = {"half": "float16", "float": "float32"}
_OF_WEIGHTS = {"bf16": "bfloat16", "fp16": "float16"}
# Quantisations of ModelOpt, whose configuration may name the type of the KV cache (utils/torch_utils.py, get_kv_cache_quant_algo_string).
_WITH_CACHE_TYPE = ("nvfp4", "fp8-tensor")
# Methods of speculative decoding that use the model's hidden states (config/speculative.py, use_eagle): all others are not compared.
_WITH_STATES = ("eagle", "eagle3", "mtp", "dflash", "dspark")
_OF_DRAFT = ("revision", "code_revision", "parallel_drafting", "kv_cache_dtype")


def _dtype(draft: ServiceDraft) -> Any:
    stated = str(draft.given.get("dtype", "auto")).lower()
    if stated != "auto":
        return _DTYPES.get(stated, stated)
    model = draft.entry.architecture if draft.entry is not None else None
    return _OF_WEIGHTS.get(model.dtype, UNKNOWN) if model is not None else UNKNOWN


def _cache_dtype(draft: ServiceDraft) -> Any:
    stated = str(draft.given.get("kv_cache_dtype", "auto"))
    model = draft.entry.architecture if draft.entry is not None else None
    # For models with sparse attention over MLA it depends on the GPU (model_executor/models/config.py).
    resolves = model is not None and (model.quantization in _WITH_CACHE_TYPE or (model.mla is not None and bool(model.mla.index_head_dim)))
    return UNKNOWN if resolves and stated in ("auto", "bfloat16") else stated


def _attention_backend(draft: ServiceDraft) -> Any:
    """The name that the user writes, in any case (config/attention.py)."""
    named = draft.given.get("attention_backend") or args.member(draft.given, "attention_config", "backend")
    name = str(named or "auto").upper()
    return UNKNOWN if name == "AUTO" else name


def _speculative(draft: ServiceDraft) -> Any:
    """What is compared of a drafter that uses the model's hidden states; None for others. The method is unknown where vLLM detects it by the draft model."""
    given = draft.given
    model = args.member(given, "speculative_config", "model") or given.get("spec_model")
    method = method_of(given)
    if not method:
        return UNKNOWN if model else None
    if method.endswith("mtp"):
        # Each model's own name of it becomes mtp, with the model's own layers unless a draft model is named.
        method, model = "mtp", model or (draft.weights.repo if draft.weights is not None else draft.service.model)
    if method not in _WITH_STATES:
        return None
    rest = {name: args.member(given, "speculative_config", name) for name in _OF_DRAFT}
    rest["kv_cache_dtype"] = rest["kv_cache_dtype"] or given.get("kv_cache_dtype", "auto")
    return {"method": method, "model": model, **{name: value for name, value in rest.items() if value not in (None, False)}}


# Key, and the value that is compared. The model is compared by the path of its weights.
COMPARED: Mapping[str, Callable[[ServiceDraft], Any]] = {
    "vllm_version": lambda draft: draft.version.text,
    "model": lambda draft: draft.weights.repo if draft.weights else draft.service.model,
    "revision": lambda draft: draft.weights.revision if draft.weights else None,
    "gguf_file": lambda draft: draft.service.gguf_file,
    "weights_dir": lambda draft: draft.weights.path if draft.weights else None,
    "vllm_args.dtype": _dtype,
    "vllm_args.kv_cache_dtype": _cache_dtype,
    "vllm_args.attention_backend": _attention_backend,
    "vllm_args.disable_hybrid_kv_cache_manager": lambda draft: draft.given.get("disable_hybrid_kv_cache_manager") is True,
    "vllm_args.speculative_config": _speculative,
}


def differences(mine: ServiceDraft, theirs: ServiceDraft) -> list[tuple[str, Any, Any]]:
    """The keys in which two services are known to differ, each with the value of both."""
    found = [(key, get(mine), get(theirs)) for key, get in COMPARED.items()]
    return [(key, here, there) for key, here, there in found if here is not UNKNOWN and there is not UNKNOWN and here != there]
