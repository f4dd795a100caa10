# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services that are nearly right, with sizes, GPUs and facts of every kind: the rules that count with them end in errors, never in an exception."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import render_errors
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.architecture import Architecture
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.output import table
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from generated import examples
from hypothesis import HealthCheck, given, settings, strategies as st
from plan_builders import gpus, host_facts, service
from test_garbage import ARGUMENTS, SCALARS, VALUES

Planner = Callable[[list[HostInput]], Plan]

SIZES = ["tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "data_parallel_size_local", "decode_context_parallel_size", "max_model_len"]
OTHERS = [
    "enable_expert_parallel",
    "max_num_seqs",
    "max_num_batched_tokens",
    "gpu_memory_utilization",
    "kv_cache_dtype",
    "kv_cache_memory_bytes",
    "cpu_offload_gb",
    "speculative_config",
    "compilation_config.mode",
    "quantization",
    "dtype",
    "enforce_eager",
    "chat_template",
    "attention_config",
    "attention_backend",
    "long_prefill_token_threshold",
    "lora_modules",
    "hf_overrides",
]
NUMBERS = st.one_of(st.integers(-1, 40), st.sampled_from([2048, 40960, 10**17, 10**30, "32K", "auto", "0", "8", "1" * 5000, 0.5, 1e300, True]))
WORDS = ["fp8", "half", "bfloat16", {"method": "mtp"}, '{"method":"mtp"}', "x"]
MODELS = ["glm-4.7-fp8", "glm-4.7-flash", "qwen3-0.6b", "qwen3-8b", "qwen3-coder-480b-a35b-instruct-fp8", "deepseek-v3.2", "llama-3.1-8b-instruct", "own"]
SERVICES = st.builds(
    lambda model, other, sizes, odd, count, version, partition: service(
        model=model,
        vllm_args={**other, **odd, **sizes},
        gpus=list(range(count)),
        vllm_version=version,
        environment={} if partition is None else {"VLLM_PP_LAYER_PARTITION": partition},
    ),
    st.sampled_from(MODELS),
    ARGUMENTS,
    st.dictionaries(st.sampled_from(SIZES), NUMBERS, max_size=4),
    st.dictionaries(st.sampled_from(OTHERS), st.one_of(VALUES, NUMBERS, st.sampled_from(WORDS))),
    st.integers(1, 9),
    st.sampled_from(["0.32.0", "0.32.0", "0.18.0", "0.8.5", "0.32.0+cu126", "0.32.0+cpu", "1.0"]),
    st.sampled_from([None, None, "46,46", "1", ",", "9" * 9000]),
)
# Facts of which each is possible alone.
ARCHITECTURES = st.dictionaries(
    st.sampled_from(["class", *(field.name for field in fields(Architecture) if field.name != "class_name")]),
    st.one_of(
        st.integers(1, 300),
        st.sampled_from([0, 10**9, 10**15, "bf16", "fp8", "fp8-block", [128, 128], {"kv_lora_rank": 1, "qk_rope_head_dim": 1}, True]),
    ),
    max_size=14,
)
GPUS = st.one_of(
    VALUES,
    st.integers(0, 9),
    st.builds(
        lambda count, keys: gpus(count, **keys),
        st.integers(1, 9),
        st.dictionaries(
            st.sampled_from([*gpus(1)[0]]),
            st.one_of(SCALARS, st.sampled_from(["9.0", "8.0", "7.0", "12.0", "550.54", "A100", 2**30, 2**60])),
            max_size=3,
        ),
    ),
)
ACCEPTED = st.one_of(
    VALUES,
    st.dictionaries(st.sampled_from(["memory", "driver", "cuda", "compute-capability", "open-port", "key-scope", "GHSA-v97p-wpxp-px84"]), st.just("why")),
)


@settings(max_examples=examples(750), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(SERVICES, min_size=1, max_size=3), ARCHITECTURES, GPUS, GPUS, ACCEPTED, st.sampled_from(["", "auto", "cu128", "cu126", "cpu"]))
def test_sizes_are_answered(
    plan_hosts: Planner, services: list[dict[str, Any]], own: dict[str, Any], stated: Any, found: Any, accepted: Any, backend: str
) -> None:
    """Documents that the table can show, or errors that say why and what to do."""
    variables = {
        "model_services": [{**each, "name": f"s{number}", "port": 8001 + number} for number, each in enumerate(services)],
        "plan_catalogue": {"own": {"repo": "a/own", "architecture": own, "quantised_sibling": "qwen3-8b-fp8"}},
        "plan_gpus": stated,
        "plan_accept": accepted,
        "vllm_torch_backend": backend,
    }
    made = plan_hosts([HostInput("gpu1", variables, host_facts(gpus=found))])
    assert bool(made.hosts) != bool(made.errors)
    assert all(error.why and error.fix for error in made.errors)
    assert render_errors(made.errors)
    assert table.lines(made.hosts.values()) and all(isinstance(warning, str) for warning in made.warnings)
