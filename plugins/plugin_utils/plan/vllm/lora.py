# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRA in vLLM: what an engine can take in while it runs, and what it takes at all. From the sources of vLLM 0.32.0."""

from __future__ import annotations

from typing import Any, Collection, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils import _library, lora_adapters

from ..versions import Version
from . import arguments as args

# The program in the engine that loads and unloads adapters (plugins/module_utils/lora_adapters.py), as vLLM's argument names it.
MIDDLEWARE = f"{_library.PACKAGE}.{lora_adapters.__name__.rpartition('.')[2]}.{lora_adapters.LoraAdapters.__name__}"
VARIABLE = lora_adapters.VARIABLE
# From this version on blocks of the prefix cache are found by name and path of an adapter. Between 0.11.1 and it they are found by its name alone: after a
# change of its revision requests would use blocks of the former weights (vllm-project/vllm issues 30931 and 42125).
_SINCE = (0, 32)
# Ranks of max_lora_rank (config/lora.py, MaxLoRARanks); the default is 16.
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
DEFAULT_RANK = 16
# Values of init_lora_weights that leave the base model as it is (lora/peft_helper.py, _init_is_supported).
_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
# Keys of adapter_config.json that vLLM refuses (lora/peft_helper.py, _validate_features).
_REFUSED = {
    "use_dora": "DoRA",
    "lora_bias": "LoRA with bias",
    "alora_invocation_tokens": "activated LoRA",
    "layer_replication": "layer replication",
    "use_bdlora": "block-diagonal LoRA",
    "use_qalora": "QALoRA",
}
# Modules that an adapter of a classifier may replace as a whole.
_SAVED = ("classifier", "score")

# Classes of models without LoRA (each class of the registry, loaded, by model_executor/models/interfaces.py, supports_lora), draft models left out.
WITHOUT_LORA = frozenset({
    "AriaForConditionalGeneration", "BailingMoeV2_5ForCausalLM", "BailingMoeV3ForCausalLM", "BailingMoeV3VLForConditionalGeneration",
    "BeeForConditionalGeneration", "BertForMaskedLM", "BertForSequenceClassification", "BertForTokenClassification", "BloomForCausalLM", "CLIPModel",
    "Cohere2MoeForCausalLM", "Cohere2VisionForConditionalGeneration", "ColBERTJinaRobertaModel", "ColBERTLfm2Model", "ColBERTModernBertModel",
    "ColModernVBertForRetrieval", "Cosmos3EdgeForConditionalGeneration", "DbrxForCausalLM", "DeepseekV41ForCausalLM", "DeepseekV4ForCausalLM",
    "DeepseekV4ForConditionalGeneration", "DeepseekVLV2ForCausalLM", "DiffusionGemmaForBlockDiffusion", "EmbeddingGemma2Model", "FalconForCausalLM",
    "FalconMambaForCausalLM", "FireRedASR2ForConditionalGeneration", "FunAudioChatForConditionalGeneration", "GPT2ForSequenceClassification",
    "GPT2LMHeadModel", "GPTJForCausalLM", "Gemma3TextModel", "Gemma3nForCausalLM", "Gemma3nForConditionalGeneration", "Glm5NextForCausalLM", "GteModel",
    "GteNewForSequenceClassification", "GteNewModel", "HCXVisionV2ForCausalLM", "HfMoondream", "HrmTextForCausalLM", "IQuestLoopCoderForCausalLM",
    "JinaForRanking", "KimiK25ForConditionalGeneration", "KimiK3ForConditionalGeneration", "KimiLinearForCausalLM", "KimiVLForConditionalGeneration",
    "LlavaOnevision2ForConditionalGeneration", "LlavaOnevisionForConditionalGeneration", "Mamba2ForCausalLM", "MambaForCausalLM", "MiMoV2FlashForCausalLM",
    "MiMoV2ForCausalLM", "MiMoV2OmniForCausalLM", "MiniMaxM3SparseForCausalLM", "MiniMaxM3SparseForConditionalGeneration",
    "ModernBertForSequenceClassification", "ModernBertForTokenClassification", "Moondream3ForCausalLM", "MoonshotKimiaForCausalLM",
    "MossTranscribeDiarizeForConditionalGeneration", "NemotronParseForConditionalGeneration", "NomicBertModel", "OpenAIPrivacyFilterForTokenClassification",
    "OpenVLAForActionPrediction", "OrionForCausalLM", "Ovis", "Ovis2_5", "Ovis2_6ForCausalLM", "Ovis2_6_MoeForCausalLM",
    "PaddleOCRVLForConditionalGeneration", "Phi3VForCausalLM", "Phi4ForCausalLMV", "Qwen2AudioForConditionalGeneration", "RForConditionalGeneration",
    "RobertaForTokenClassification", "SiglipModel", "SkyworkR1VChatModel", "StableLmForCausalLM", "Step1ForCausalLM", "Step3TextForCausalLM",
    "Step3VLForConditionalGeneration", "Step3p5ForCausalLM", "Step3p7ForConditionalGeneration", "StepVLForConditionalGeneration",
    "XLMRobertaForTokenClassification", "Zamba2ForCausalLM",
})
# The version of vLLM that they are from: later ones may have LoRA for more.
WITHOUT_LORA_UNTIL = (0, 32)


def why_restart(version: Version, arguments: Mapping[str, Any], environment: Mapping[str, Any], secret_names: Collection[str] = ()) -> str:
    """Why a change of adapters restarts this engine; empty if it takes them in while it runs.

    :param secret_names: names of further variables, of which the plan does not have the values
    """
    if version.release[: len(_SINCE)] < _SINCE:
        return f"vLLM {version.text} may mix up the cached prompts of two revisions of an adapter; {'.'.join(map(str, _SINCE))} does not"
    if arguments.get("middleware"):
        return "vllm_args has a middleware of its own"
    if str(environment.get("VLLM_USE_RUST_FRONTEND") or "0") != "0" or "VLLM_USE_RUST_FRONTEND" in secret_names:
        return "VLLM_USE_RUST_FRONTEND replaces the API server that would load them"
    servers = args.size(arguments, "api_server_count") if "api_server_count" in arguments else None
    ranks = [args.size(arguments, key) for key in ("data_parallel_size", "data_parallel_size_local")]
    if servers not in (None, 1) or (servers is None and any(rank != 1 for rank in ranks)):
        return "the engine has several API servers, which number their adapters themselves; api_server_count: 1 has one"
    return ""


def modules(arguments: Mapping[str, Any]) -> list[Any]:
    """The items of lora_modules."""
    given = arguments.get("lora_modules")
    return list(given) if isinstance(given, (list, tuple)) else [given] if given else []


def module_names(arguments: Mapping[str, Any]) -> list[str]:
    """The names of the modules in lora_modules: name=path, JSON or a dictionary."""
    names = []
    for item in modules(arguments):
        named = args.member({"module": item}, "module", "name")
        if named is not None:
            names.append(str(named))
        elif isinstance(item, str) and "=" in item:
            names.append(item.partition("=")[0])
    return names


def refused_features(config: Mapping[str, Any]) -> list[str]:
    """What an adapter_config.json has that vLLM refuses."""
    found = [f"peft_type {config['peft_type']}"] if config.get("peft_type") not in (None, "LORA") else []
    found += [name for key, name in _REFUSED.items() if config.get(key)]
    # validate_legal there; a null differs from "none" too.
    found += ["LoRA with bias of the base layers"] if config.get("bias", "none") != "none" else []
    init = config.get("init_lora_weights")
    if isinstance(init, str) and init.lower() not in _INITS:
        found.append(f"init_lora_weights {init}")
    saved = config.get("modules_to_save")
    whole = [name for name in saved if name not in _SAVED] if isinstance(saved, list) else []
    return [*found, *([f"modules_to_save {', '.join(map(str, whole))}"] if whole else [])]


def rank_of(config: Mapping[str, Any]) -> int | None:
    """The highest rank of an adapter's modules; None when adapter_config.json has none."""
    pattern = config.get("rank_pattern")
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, Mapping) else ())]
    known = [rank for rank in ranks if isinstance(rank, int) and not isinstance(rank, bool) and rank > 0]
    return max(known, default=None)


def has_lora(class_name: str, version: Version, arguments: Mapping[str, Any]) -> bool:
    """Whether vLLM has LoRA for a class of models, as far as is known. The Transformers backend has it for all."""
    known = version.release[: len(WITHOUT_LORA_UNTIL)] <= WITHOUT_LORA_UNTIL
    return not known or class_name not in WITHOUT_LORA or arguments.get("model_impl") == "transformers"
