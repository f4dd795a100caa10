# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's architecture: the facts for the checks of memory, layout and platform."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Mapping

from .. import sections, values
from ..errors import InvalidValue, PlanError, did_you_mean, shown

# Data types of the weights on disk.
DTYPES = ("fp32", "bf16", "fp16", "fp8", "int8", "int4", "fp4")

# Kinds of quantisation: one scale for each block (see weight_block_size), channel, tensor or group, or none.
QUANTIZATIONS = ("none", "fp8-block", "fp8-channel", "fp8-tensor", "int8-channel", "int-group", "awq", "gptq", "mxfp4", "nvfp4")

# Kinds with one scale for each group of columns, see group_size: integers of 4 or 8 bits in the formats of compressed-tensors, AWQ and GPTQ.
GROUPED = ("int-group", "awq", "gptq")
# Layers that may be quantised in groups: attention output, dense feed-forward layers (with shared experts), and routed experts.
GROUPED_LAYERS = ("attention", "dense", "experts")

_LARGEST = 10**9
_LARGEST_MODEL = 10**15


@dataclass(frozen=True)
class Mla:
    """Multi-head latent attention: the KV cache has one compressed vector for each token and layer, shared by all heads.

    Sizes are numbers of elements. C(index_head_dim) is the size of the second, small cache of sparse attention (DeepSeek-V3.2), None without one.
    C(index_layers) is how many layers have that cache, None for all: others read what the layer before them chose (GLM-5.2).
    """

    kv_lora_rank: int
    qk_rope_head_dim: int
    q_lora_rank: int | None = None
    qk_nope_head_dim: int | None = None
    v_head_dim: int | None = None
    index_head_dim: int | None = None
    index_layers: int | None = None


@dataclass(frozen=True)
class CompressedAttention:
    """DeepSeek-V4's attention: each layer has a window of C(sliding_window) tokens; beside it, C(csa_layers) keep a key for every 4 tokens and an index
    of C(index_head_dim) elements (compressed sparse attention), and C(hca_layers) one for every 128 (heavily compressed attention)."""

    head_dim: int
    index_head_dim: int
    sliding_window: int
    csa_layers: int
    hca_layers: int


@dataclass(frozen=True)
class KvGroup:
    """Layers with the same KV cache: the number of C(layers), KV heads, and elements of a key (C(head_dim)) and of a value (C(value_dim)).

    C(sliding_window) is their window in tokens, None for full attention. In models with MLA the sizes of C(Mla) apply instead. C(index_dim) are elements
    of a key of the index by which sparse attention chooses tokens (MiniMax-M3), None without one.
    """

    layers: int
    num_kv_heads: int
    head_dim: int
    value_dim: int
    sliding_window: int | None = None
    index_dim: int | None = None


@dataclass(frozen=True)
class Architecture:
    """A model's architecture; None or empty text is unknown. Sizes are elements of the whole model, before any sharding.

    - C(class_name): the key C(class), the architecture in config.json
    - C(parameters): on disk, without the layers for speculative decoding (C(mtp_layers))
    - C(weights_loaded_bytes): loaded by vLLM, also without these layers
    - C(compressed_attention): instead of C(num_kv_heads), C(mla) and C(kv_groups)
    - C(sliding_layers): how many of the C(num_layers) have a window of C(sliding_window) tokens
    - C(kv_groups): the layers with keys and values, where layers differ in more than the window
    - C(state_bytes): bytes that the other layers keep for each request (linear attention, state space models)
    - C(state_layers): how many these layers are; there may be more without any cache
    - C(group_size): columns of a weight with one scale, in quantisation by groups
    - C(modelopt): whether the weights are in the format of NVIDIA's ModelOpt, None when unknown
    - C(grouped_layers): layers quantised in groups, None for all of C(GROUPED_LAYERS)
    """

    class_name: str = ""
    dtype: str = ""
    quantization: str = ""
    weight_block_size: tuple[int, int] | None = None
    group_size: int | None = None
    grouped_layers: tuple[str, ...] | None = None
    modelopt: bool | None = None
    parameters: int | None = None
    weights_loaded_bytes: int | None = None
    hidden_size: int | None = None
    intermediate_size: int | None = None
    num_layers: int | None = None
    num_attention_heads: int | None = None
    num_kv_heads: int | None = None
    head_dim: int | None = None
    vocab_size: int | None = None
    tie_word_embeddings: bool | None = None
    num_experts: int | None = None
    experts_per_token: int | None = None
    moe_intermediate_size: int | None = None
    first_k_dense: int | None = None
    shared_experts: int | None = None
    shared_expert_intermediate_size: int | None = None
    mtp_layers: int | None = None
    mla: Mla | None = None
    compressed_attention: CompressedAttention | None = None
    sliding_window: int | None = None
    sliding_layers: int | None = None
    kv_groups: tuple[KvGroup, ...] | None = None
    state_bytes: int | None = None
    state_layers: int | None = None
    max_position_embeddings: int | None = None

    @property
    def is_moe(self) -> bool:
        return bool(self.num_experts)

    @property
    def is_sparse(self) -> bool:
        """Whether an index chooses the tokens that attention reads (DeepSeek-V3.2, DeepSeek-V4), which takes kernels of its own."""
        return self.compressed_attention is not None or (self.mla is not None and bool(self.mla.index_head_dim))

    @property
    def shared_size(self) -> int:
        """Intermediate size of the shared experts together, 0 without any."""
        return self.shared_expert_intermediate_size or (self.moe_intermediate_size or 0) * (self.shared_experts or 0)


def read(host: str, key: str, raw: Any) -> tuple[Architecture, list[PlanError]]:
    """The facts from YAML, typed. Invalid facts and contradictions are errors; with an invalid fact all facts are left out."""
    found, errors = sections.read(host, key, raw, _READERS, "an architecture")
    if errors:
        # Checks on incomplete facts would be misleading.
        return Architecture(), errors
    found = {_FIELDS.get(part, part): value for part, value in found.items()}
    if "quantization" not in found:
        found["quantization"] = _implied_quantization(found)
    architecture = Architecture(**found)
    return architecture, [PlanError(host, "", f"{key}.{part}", shown(raw.get(part)), why, fix) for part, why, fix in _contradictions(architecture)]


def _implied_quantization(found: Mapping[str, Any]) -> str:
    if "weight_block_size" in found:
        return "fp8-block"
    return "none" if found.get("dtype") in ("fp32", "bf16", "fp16") else ""


def _contradictions(model: Architecture) -> list[tuple[str, str, str]]:
    """Facts that contradict each other: the key, the reason and the fix."""
    found = []
    heads, kv_heads = model.num_attention_heads, model.num_kv_heads
    if heads and kv_heads and heads % kv_heads != 0:
        found.append(("num_kv_heads", f"{heads} attention heads cannot share {kv_heads} KV heads evenly", "take both numbers from the model's config.json"))
    if model.num_experts and model.experts_per_token and model.experts_per_token > model.num_experts:
        found.append(("experts_per_token", f"the model has only {model.num_experts} experts", "take both numbers from the model's config.json"))
    if model.moe_intermediate_size and not model.num_experts:
        found.append(("moe_intermediate_size", "num_experts is missing", "add num_experts"))
    for part, count in (("first_k_dense", model.first_k_dense), ("sliding_layers", model.sliding_layers)):
        if model.num_layers and count and count > model.num_layers:
            found.append((part, f"the model has only {model.num_layers} layers", "take both numbers from the model's config.json"))
    if model.num_layers and sum(group.layers for group in model.kv_groups or ()) > model.num_layers:
        found.append(("kv_groups", f"together they are more than the model's {model.num_layers} layers", "take both numbers from the model's config.json"))
    if model.num_layers and model.state_layers and model.state_layers > model.num_layers:
        found.append(("state_layers", f"the model has only {model.num_layers} layers", "take both numbers from the model's config.json"))
    compressed = model.compressed_attention
    if model.num_layers and compressed and compressed.csa_layers + compressed.hca_layers > model.num_layers:
        found.append(("compressed_attention", f"the model has only {model.num_layers} layers", "take the numbers from the model's config.json"))
    if model.sliding_layers and not model.sliding_window:
        found.append(("sliding_layers", "the window of these layers is missing", "add sliding_window"))
    if model.quantization == "fp8-block" and model.weight_block_size is None:
        found.append(("quantization", "the size of the blocks is missing", "add weight_block_size, for example [128, 128]"))
    if model.weight_block_size and model.quantization != "fp8-block":
        found.append(("weight_block_size", f"{model.quantization} has no blocks", "remove it, or write quantization: fp8-block"))
    if (model.group_size or model.grouped_layers) and model.quantization not in GROUPED:
        found.append(("group_size", "only weights in awq, gptq or int-group have groups", "remove it, or write one of these as quantization"))
    return found


def _choice(choices: tuple[str, ...]) -> values.Reader:
    def reader(value: Any) -> str:
        if value not in choices:
            raise InvalidValue("this is not a known value", f"write one of {', '.join(choices)}")
        return str(value)

    return reader


def _block(value: Any) -> tuple[int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise InvalidValue("this is not a pair of numbers", "write the rows and columns of a block, for example [128, 128]")
    size = values.integer(1, 65536)
    return size(value[0]), size(value[1])


def _grouped_layers(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not value or any(item not in GROUPED_LAYERS for item in value):
        raise InvalidValue("this is not a list of kinds of layers", f"write a list of some of {', '.join(GROUPED_LAYERS)}")
    return tuple(value)


def _mla(value: Any) -> Mla:
    pairs = values.mapping(value)
    known = [part.name for part in fields(Mla)]
    for part in pairs:
        if part not in known:
            raise InvalidValue(f"{shown(part)} is not a known size", did_you_mean(part, known, f"write {', '.join(known)}"))
    for part in ("kv_lora_rank", "qk_rope_head_dim"):
        if pairs.get(part) is None:
            raise InvalidValue(f"{part} is missing", "take it from the model's config.json")
    size = values.integer(1, _LARGEST)
    return Mla(**{part: size(number) for part, number in pairs.items() if number is not None})


def _compressed_attention(value: Any) -> CompressedAttention:
    pairs = values.mapping(value)
    known = [part.name for part in fields(CompressedAttention)]
    for part in pairs:
        if part not in known:
            raise InvalidValue(f"{shown(part)} is not a key of compressed attention", did_you_mean(part, known, f"write {', '.join(known)}"))
    for part in known:
        if pairs.get(part) is None:
            raise InvalidValue(f"{part} is missing", "take it from the model's config.json")
    size = values.integer(1, _LARGEST)
    return CompressedAttention(**{part: size(pairs[part]) for part in known})


def _kv_groups(value: Any) -> tuple[KvGroup, ...]:
    if not isinstance(value, (list, tuple)):
        raise InvalidValue("this is not a list", "write a list of groups of layers, each with layers, num_kv_heads, head_dim and value_dim")
    known = [part.name for part in fields(KvGroup)]
    size = values.integer(1, _LARGEST)
    groups = []
    for item in value:
        pairs = values.mapping(item)
        for part in pairs:
            if part not in known:
                raise InvalidValue(f"{shown(part)} is not a key of a group of layers", did_you_mean(part, known, f"write {', '.join(known)}"))
        given = {part: size(number) for part, number in pairs.items() if number is not None}
        given.setdefault("value_dim", given.get("head_dim", 0))
        for part in ("layers", "num_kv_heads", "head_dim"):
            if part not in given:
                raise InvalidValue(f"{part} is missing in a group of layers", "take it from the model's config.json")
        groups.append(KvGroup(**given))
    return tuple(groups)


def _readers() -> dict[str, values.Reader]:
    """One reader for each field, by its key in YAML: a positive number unless said otherwise."""
    readers: dict[str, values.Reader] = {}
    for part in fields(Architecture):
        readers["class" if part.name == "class_name" else part.name] = values.integer(1, _LARGEST)
    # Zero is a valid fact for these.
    for count in ("num_experts", "first_k_dense", "shared_experts", "mtp_layers", "sliding_layers"):
        readers[count] = values.integer(0, _LARGEST)
    for total in ("parameters", "weights_loaded_bytes"):
        readers[total] = values.integer(1, _LARGEST_MODEL)
    readers["state_bytes"] = values.integer(0, _LARGEST_MODEL)
    readers |= {
        "class": values.word,
        "dtype": _choice(DTYPES),
        "quantization": _choice(QUANTIZATIONS),
        "weight_block_size": _block,
        "grouped_layers": _grouped_layers,
        "tie_word_embeddings": values.boolean,
        "modelopt": values.boolean,
        "mla": _mla,
        "compressed_attention": _compressed_attention,
        "kv_groups": _kv_groups,
    }
    return readers


_FIELDS = {"class": "class_name"}
_READERS = _readers()
