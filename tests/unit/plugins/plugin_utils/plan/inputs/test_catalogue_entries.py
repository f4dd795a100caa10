# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shipped entries: consistent with themselves, and such that every profile and preset can be planned.

What is demanded of an entry follows from what the entry states: C(repo) alone is an entry. One that states C(architecture) states all of it.
"""

from __future__ import annotations

import re

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan import values
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.catalogue import Catalogue, Entry, built_in
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models import memory
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.architecture import Architecture
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.parallel import Parallel, parallel_of
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.variants import Profile
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.versions import Version, parse
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm import arguments
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.flags import FlagTable, flag
from plan_builders import amd_facts, host_facts

GIB = 2**30

# The recipes' rule of thumb: least memory of all GPUs over the size of the weights.
HEADROOM = 1.2

# Tool-call and reasoning parser of entries that were tried or read about; None where there must not be one. A new entry need not be added.
PARSERS: dict[str, tuple[str | None, str | None]] = {
    "glm-4.5": ("glm45", "glm45"),
    "glm-4.5-fp8": ("glm45", "glm45"),
    "glm-4.6": ("glm45", "glm45"),
    "glm-4.6-fp8": ("glm45", "glm45"),
    "glm-4.7": ("glm47", "glm45"),
    "glm-4.7-fp8": ("glm47", "glm45"),
    "glm-4.7-flash": ("glm47", "glm45"),
    **{f"qwen3-{size}": ("hermes", "qwen3") for size in ("0.6b", "1.7b", "4b", "8b", "8b-fp8", "14b", "14b-fp8", "32b", "32b-fp8", "30b-a3b", "30b-a3b-fp8")},
    "qwen3-235b-a22b": ("hermes", "qwen3"),
    "qwen3-235b-a22b-fp8": ("hermes", "qwen3"),
    "qwen3-235b-a22b-instruct-2507": ("hermes", None),
    "qwen3-235b-a22b-instruct-2507-fp8": ("hermes", None),
    "qwen3-235b-a22b-thinking-2507": ("hermes", "qwen3"),
    "qwen3-235b-a22b-thinking-2507-fp8": ("hermes", "qwen3"),
    "qwen3-coder-480b-a35b-instruct": ("qwen3_coder", None),
    "qwen3-coder-480b-a35b-instruct-fp8": ("qwen3_coder", None),
    "qwen3-coder-30b-a3b-instruct": ("qwen3_coder", None),
    "qwen3-coder-30b-a3b-instruct-fp8": ("qwen3_coder", None),
    "qwq-32b": ("hermes", "deepseek_r1"),
    "qwen2.5-7b-instruct": ("hermes", None),
    "qwen2.5-32b-instruct": ("hermes", None),
    "qwen2.5-72b-instruct": ("hermes", None),
    "llama-3.1-8b-instruct": (None, None),
    "llama-3.2-3b-instruct": (None, None),
    "llama-3.3-70b-instruct": (None, None),
    "mistral-7b-instruct-v0.3": ("mistral", None),
    "mistral-small-24b-instruct-2501": ("mistral", None),
    "deepseek-v3-0324": (None, None),
    "deepseek-r1-0528": (None, "deepseek_r1"),
    "deepseek-v3.1": (None, "deepseek_v3"),
    "deepseek-v3.2": ("deepseek_v32", "deepseek_v3"),
}


# The least that an entry may state: no test here may demand more of it.
BARE = {"family": "bare", "models": {"bare-entry": {"repo": "example-org/Bare-Entry"}}}


@pytest.fixture(scope="session", params=["as shipped", "with a bare entry"])
def catalogue(request: pytest.FixtureRequest, families: list[dict[str, Any]]) -> Catalogue:
    """The shipped catalogue, and the same with a new entry that states its repository alone."""
    return built_in([*families, BARE] if request.param == "with a bare entry" else families)


@pytest.fixture(scope="module")
def served(catalogue: Catalogue) -> list[Entry]:
    """Entries that can be served."""
    return [entry for entry in catalogue.entries.values() if not entry.unsupported]


@pytest.fixture(scope="module")
def described(served: list[Entry]) -> list[Entry]:
    """Entries that state their architecture. The plan looks the others up, like a model without an entry."""
    return [entry for entry in served if entry.architecture.class_name]


def test_parsers_of_known_models(catalogue: Catalogue) -> None:
    """Each of these models has its parsers and no others."""
    entries = {name: catalogue.entries[name].arguments for name in PARSERS}
    found = {name: (arguments.get("tool_call_parser"), arguments.get("reasoning_parser")) for name, arguments in entries.items()}
    assert found == PARSERS


def test_thinking_goes_with_the_reasoning_parser(served: list[Entry]) -> None:
    """A parser that waits for thoughts takes the whole answer of a model that never thinks, and content stays empty."""
    for entry in served:
        if entry.thinking:
            assert (entry.thinking == "never") == ("reasoning_parser" not in entry.arguments), entry.name


def chats(entry: Entry) -> bool:
    """Whether the entry is for chat: another task has no parsers."""
    return entry.task in ("", "chat")


def test_a_model_without_tool_parser_says_why(described: list[Entry]) -> None:
    """What it takes is a file that vLLM's wheel does not hold, or the model was not trained for it."""
    for entry in filter(chats, described):
        without = "chat_template: <its path>" in entry.notes or "No tool calls" in entry.notes
        assert ("tool_call_parser" in entry.arguments) != without, entry.name
        assert ("tool_call_parser" in entry.arguments) == (entry.arguments.get("enable_auto_tool_choice") is True), entry.name


def test_refused_builds_name_another(catalogue: Catalogue) -> None:
    """An entry that cannot be served says why, and which to take."""
    for entry in catalogue.entries.values():
        if entry.unsupported:
            named = re.search(r"\btake ([\w.-]*\w)", entry.unsupported)
            assert named and named[1] in catalogue.entries and not catalogue.entries[named[1]].unsupported, entry.name
    assert "Ascend" in catalogue.entries["qwen3-235b-a22b-w8a8"].unsupported


def test_entries_are_complete(described: list[Entry]) -> None:
    """Pinned where a commit is known, sized, licensed, sourced, with all that memory and layout are worked out from."""
    for entry in described:
        assert values.COMMIT.fullmatch(entry.revision) or entry.sources["revision"].startswith("none: "), entry.name
        assert entry.bytes and entry.min_vllm and entry.license.name, entry.name
        assert bool(entry.thinking) == chats(entry), entry.name
        assert {"revision", "min_vllm"} <= entry.sources.keys(), entry.name
        assert entry.profiles and ("production" in entry.presets) == chats(entry), entry.name
        assert ("minimal" in entry.presets) == ("tool_call_parser" in entry.arguments), entry.name
        assert not any("trust_remote_code" in layer.arguments for layer in (entry, *entry.profiles.values(), *entry.presets.values()))
        model = entry.architecture
        needed = ["class_name", "dtype", "quantization", "parameters", "weights_loaded_bytes", "hidden_size", "num_layers"]
        needed += ["num_attention_heads", "vocab_size", "max_position_embeddings"]
        needed += ["num_experts", "experts_per_token", "moe_intermediate_size"] if model.is_moe else ["intermediate_size"]
        assert [part for part in needed if not getattr(model, part)] == [], entry.name
        assert memory.cache_of(model, Parallel(), "auto") is not None, entry.name
        assert model.tie_word_embeddings is not None


def test_gated_models(served: list[Entry]) -> None:
    """Gated models name the page where their license is accepted. Meta's models are gated."""
    gated = [entry for entry in served if entry.license.gated]
    assert all(entry.license.url.endswith(entry.repo) for entry in gated)
    assert {entry.name for entry in served if entry.repo.startswith("meta-llama/")} <= {entry.name for entry in gated}


def layers(entry: Entry) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Arguments of the entry, of each profile and of each preset."""
    yield "arguments", entry.arguments
    for name, variant in [*entry.profiles.items(), *entry.presets.items()]:
        yield name, variant.arguments


def versions_of(entry: Entry, known: FlagTable, newest: str) -> list[Version]:
    """The oldest vLLM that serves it, where it is stated, and the newest that is known."""
    last = parse(newest)
    assert last is not None
    found = [last] if entry.min_vllm is None else [entry.min_vllm, last]
    assert all(known.covers(version) for version in found), entry.name
    return found


def test_arguments_are_known_to_the_oldest_and_newest_vllm(served: list[Entry], flags: FlagTable, flag_data: dict[str, Any]) -> None:
    """Flags and parsers, of profiles and presets as well."""
    for entry in served:
        for version in versions_of(entry, flags, flag_data["versions"][-1]):
            for name, given in layers(entry):
                for key, value in given.items():
                    if value is not None:
                        arguments.check_value(value)
                    assert flags.has("flags", flag(key), version), (entry.name, name, key, version.text)
                if given.get("tool_call_parser"):
                    assert flags.has("tool_call_parsers", given["tool_call_parser"], version), (entry.name, name, version.text)
                if given.get("reasoning_parser"):
                    assert flags.has("reasoning_parsers", given["reasoning_parser"], version), (entry.name, name, version.text)


def test_vllm_has_the_class_of_every_entry(served: list[Entry], flags: FlagTable, flag_data: dict[str, Any]) -> None:
    """The oldest that an entry names has it, and the newest."""
    for entry in served:
        for version in versions_of(entry, flags, flag_data["versions"][-1]):
            if entry.architecture.class_name:
                assert flags.ask("models", entry.architecture.class_name, version).state == "known", (entry.name, version.text)


def counted_parameters(model: Architecture, has_head: bool = True) -> int:
    """Parameters by the architecture: embeddings, attention and feed-forward layers. Norms, biases and routers are below a thousandth. A model for
    embeddings has no head, whether its config ties it or not."""
    assert model.hidden_size and model.intermediate_size and model.num_layers and model.num_attention_heads and model.vocab_size and model.num_kv_heads
    hidden, heads = model.hidden_size, model.num_attention_heads
    if model.mla is None:
        assert model.head_dim
        attention = 2 * hidden * heads * model.head_dim + 2 * hidden * model.num_kv_heads * model.head_dim
    else:
        mla = model.mla
        assert mla.q_lora_rank and mla.qk_nope_head_dim and mla.v_head_dim
        attention = mla.q_lora_rank * (hidden + heads * (mla.qk_nope_head_dim + mla.qk_rope_head_dim))
        attention += hidden * (mla.kv_lora_rank + mla.qk_rope_head_dim) + heads * mla.kv_lora_rank * (mla.qk_nope_head_dim + mla.v_head_dim)
        attention += heads * mla.v_head_dim * hidden
    dense = model.first_k_dense or 0 if model.is_moe else model.num_layers
    experts = (model.num_experts or 0) + (model.shared_experts or 0)
    feed_forward = dense * 3 * hidden * model.intermediate_size + (model.num_layers - dense) * experts * 3 * hidden * (model.moe_intermediate_size or 0)
    return model.num_layers * attention + feed_forward + hidden * model.vocab_size * (1 if model.tie_word_embeddings or not has_head else 2)


def test_parameters_follow_from_the_architecture(described: list[Entry]) -> None:
    """A number mistyped anywhere in an architecture shows here."""
    for entry in described:
        model = entry.architecture
        # Layers that differ, and parts for pictures or sound, have more parameters than their facts here say.
        alike = model.kv_groups is None and not model.state_bytes and model.compressed_attention is None
        if model.class_name.endswith("ForCausalLM") and "OCR" not in model.class_name and alike:
            assert model.parameters and abs(counted_parameters(model, entry.task != "embedding") / model.parameters - 1) < 0.002, entry.name


def test_sizes_follow_from_the_parameters(described: list[Entry]) -> None:
    """Loaded: two bytes a parameter, or one in FP8 and two for the embeddings, or half of one with its scale and two for what is not quantised. A scale is
    for 16 columns in NVFP4, for up to 128 in AWQ and GPTQ. On the disk: that, and layers for speculative decoding, which stay in 16 bits where the others
    have 4; or twice that, since vLLM loads 16 of 32 bits. NVIDIA's builds in 4 bits of models like Gemma leave all of attention as it is."""
    for entry in described:
        model = entry.architecture
        assert model.parameters and model.weights_loaded_bytes and model.hidden_size and model.vocab_size and entry.bytes
        table = model.hidden_size * model.vocab_size
        tables = table if model.tie_word_embeddings else 2 * table
        each = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "fp4": 0.53, "int4": 0.519}[model.dtype]
        least = each * (model.parameters - tables) + 2 * tables
        # A part of the layers is not quantised: attention, shared experts, vision.
        most = {"bf16": 1.004, "fp16": 1.004, "fp8": 1.25}.get(model.dtype, 1.8) * least
        assert 0.999 * least <= model.weights_loaded_bytes <= most, entry.name
        # Some repositories hold tied embeddings twice.
        whole = 2 * model.parameters if model.dtype in ("fp4", "int4") else model.weights_loaded_bytes
        more = 0.05 * whole if model.mtp_layers else 2 * table if model.tie_word_embeddings else 0
        in_32_bits = abs(entry.bytes / (2 * model.weights_loaded_bytes) - 1) < 0.01
        assert model.weights_loaded_bytes <= entry.bytes <= model.weights_loaded_bytes + more or in_32_bits, entry.name


def test_quantised_siblings(catalogue: Catalogue, served: list[Entry]) -> None:
    """The same model with smaller weights."""
    for entry in served:
        if entry.quantised_sibling:
            sibling = catalogue.entries[entry.quantised_sibling]
            assert entry.bytes and sibling.bytes and sibling.bytes < entry.bytes, entry.name
            assert sibling.architecture.parameters == entry.architecture.parameters and sibling.thinking == entry.thinking


def profiles_of(entries: list[Entry]) -> Iterator[tuple[Entry, Profile, dict[str, int]]]:
    """Each profile with its parallel sizes."""
    for entry in entries:
        for profile in entry.profiles.values():
            keys = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
            yield entry, profile, {key.partition("_")[0]: profile.arguments.get(key, 1) for key in keys}


def test_profiles_use_all_their_gpus(served: list[Entry]) -> None:
    """Parallel sizes multiply to the GPUs, and the name says which and how many. A second profile of the same GPUs, by data parallel, ends in C(-dp)."""
    for entry, profile, sizes in profiles_of(served):
        where = (entry.name, profile.name)
        assert sizes["tensor"] * sizes["pipeline"] * sizes["data"] == profile.gpus * profile.nodes, where
        assert "tensor_parallel_size" in profile.arguments and profile.gpu and profile.gpu_memory_gib, where
        kind = "".join(profile.gpu.lower().split()[:-1])
        hosts = f"{profile.nodes}x" if profile.nodes > 1 else ""
        plain = profile.name.removesuffix("-dp") if sizes["data"] > 1 else profile.name
        assert plain in (f"{hosts}{profile.gpus}x{kind}", f"{hosts}{profile.gpus}x{kind}-141"), where


def test_profiles_cut_evenly(served: list[Entry]) -> None:
    """Heads over the tensor parallel ranks, KV heads over them or they over the KV heads, and FP8 blocks stay whole."""
    for entry, profile, sizes in profiles_of(served):
        where = (entry.name, profile.name)
        model = entry.architecture
        ranks = sizes["tensor"]
        assert model.num_attention_heads and model.num_attention_heads % ranks == 0, where
        if model.mla is None and model.compressed_attention is None:
            assert model.num_kv_heads and (model.num_kv_heads % ranks == 0 or ranks % model.num_kv_heads == 0), where
        assert model.num_layers and sizes["pipeline"] <= model.num_layers
        if model.weight_block_size:
            spread = profile.arguments.get("enable_expert_parallel") is True
            cut = [model.intermediate_size] if not model.is_moe or model.first_k_dense else []
            cut += [model.moe_intermediate_size] if model.is_moe and not spread else []
            assert all(size and size % (ranks * model.weight_block_size[0]) == 0 for size in cut), where


def test_profiles_have_room(served: list[Entry]) -> None:
    """Weights by the recipes' rule, and a context that the model has."""
    for entry, profile, _ in profiles_of(served):
        where = (entry.name, profile.name)
        memory = profile.gpus * profile.nodes * profile.gpu_memory_gib * GIB
        assert entry.bytes and entry.bytes * HEADROOM <= memory, where
        assert profile.arguments.get("max_model_len", 1) <= (entry.architecture.max_position_embeddings or 0), where


def test_what_does_not_fit_has_no_profile(catalogue: Catalogue) -> None:
    """GLM-4.7-FP8 on four GPUs of 80 GB, GLM-4.7 on eight: however often it is advised."""
    for name, gpus in (("glm-4.7-fp8", 4), ("glm-4.7", 8)):
        entry = catalogue.entries[name]
        assert entry.bytes and entry.bytes * HEADROOM > gpus * 80 * GIB
        assert not any(profile.gpus * profile.nodes <= gpus and profile.gpu_memory_gib <= 80 for profile in entry.profiles.values())


# Compute capabilities by the name of a GPU without its memory. Of a GPU that is not listed the test says none.
CAPABILITIES = {
    "A100": "8.0", "H100": "9.0", "H20": "9.0", "H200": "9.0", "L40S": "8.9", "RTX 4090": "8.9", "RTX 5090": "12.0", "RTX PRO 6000": "12.0", "B200": "10.0",
    "GB200": "10.0", "B300": "10.3", "GB10": "12.1",
}
# LLVM targets of AMD's GPUs, for which the release is another than the default.
TARGETS = {"MI300X": "gfx942", "MI355X": "gfx950"}


def planned_host(number: int, entry: Entry, profile: Profile, **keys: Any) -> HostInput:
    """A host with the GPUs of a profile that serves the model so."""
    gpu = {"name": profile.gpu, "memory_bytes": profile.gpu_memory_gib * GIB, "compute_capability": CAPABILITIES.get(profile.gpu.rpartition(" ")[0], "")}
    gpus = [{"index": index, **gpu} for index in range(profile.gpus)]
    service = {"name": "model", "model": entry.name, "port": 8001, "profile": profile.name, **keys}
    if entry.remote_code:
        service.update(vllm_args={"trust_remote_code": True}, revision="0" * 40)
    facts, release = host_facts(gpus=gpus, mounts=[{"mount": "/", "free_bytes": 10**13}]), {}
    if profile.gpu.rpartition(" ")[0] in TARGETS:
        amd = [{**gpu, "gfx": TARGETS[profile.gpu.rpartition(" ")[0]]} for gpu in gpus]
        facts = amd_facts(amd={"gpus": amd}, mounts=facts["mounts"])
        release = {"vllm_version": "0.31.0+rocm723", "vllm_extra_index_urls": ["https://wheels.vllm.ai/rocm/0.31.0/rocm723"], "vllm_python": "3.12"}
    return HostInput(f"{entry.name}-{profile.name}-{number}", {"model_services": [service], **release}, facts)


def test_every_profile_can_be_planned_with_every_preset(plan_hosts: Callable[[list[HostInput]], Plan], served: list[Entry]) -> None:
    """With the default vLLM (on AMD's GPUs the newest with wheels), on the profile's own GPUs, with no error and no warning about them."""
    hosts = []
    for entry, profile, _ in profiles_of(served):
        if profile.nodes == 1:
            hosts.append(planned_host(0, entry, profile))
            hosts += [planned_host(number, entry, profile, preset=preset) for number, preset in enumerate(entry.presets, start=1)]
    made = plan_hosts(hosts)
    assert made.errors == []
    assert len(made.hosts) == len(hosts)
    assert not [warning for warning in made.warnings if "the profile" in warning or "stay idle" in warning]


def test_profiles_of_several_hosts_have_room_for_their_context(served: list[Entry]) -> None:
    """By the plan's estimate, which planning a single host cannot show, with the type of KV cache that the entry or the profile sets."""
    for entry, profile, _ in profiles_of(served):
        if profile.nodes > 1:
            kv_dtype = profile.arguments.get("kv_cache_dtype", entry.arguments.get("kv_cache_dtype", "auto"))
            tokens = profile.arguments.get("max_model_len", entry.architecture.max_position_embeddings)
            parallel = parallel_of(profile.arguments)
            assert parallel is not None
            found = memory.estimate(entry.architecture, parallel, memory.Demand(tokens, 0.9, kv_dtype), profile.gpu_memory_gib * GIB)
            assert found is not None and found.short_of(tokens) <= 0, (entry.name, profile.name)
