# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flags under several names: they mean one thing, wherever the plan looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.tables import Tables
from plan_builders import gpus, keys_of, service

Plans = Callable[..., Plan]


def small(version: str = "0.33.0", **vllm_args: Any) -> dict[str, Any]:
    """A service of a small model on one GPU."""
    return service(model="qwen3-8b", gpus=[0], vllm_version=version, vllm_args=vllm_args)


def argv(made: Plan) -> list[str]:
    """The command line of the one service."""
    assert made.errors == []
    return made.hosts["gpu1"]["services"][0]["argv"]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"disable_log_requests": True}, "--no-enable-log-requests"),
        ({"enable_log_requests": False}, "--no-enable-log-requests"),
        ({"disable_prefix_caching": True}, "--no-enable-prefix-caching"),
        ({"enable_cascade_attn": True}, "--no-disable-cascade-attn"),
        ({"device_memory_utilization": 0.5}, "--gpu-memory-utilization=0.5"),
    ],
)
def test_written_as_the_flag(plan: Plans, given: dict[str, Any], written: str) -> None:
    """One spelling a flag on the command line."""
    assert written in argv(plan(small(**given), plan_gpus=gpus(1)))


def test_an_alias_counts_in_the_estimate(plan: Plans) -> None:
    """Memory is worked out with it, and two that share a GPU may say it so."""
    for key in ("gpu_memory_utilization", "device_memory_utilization"):
        [error] = plan(small(**{key: 0.2}), plan_gpus=gpus(1)).errors
        assert "gpu_memory_utilization 0.2" in error.why
    both = [
        service(model="qwen3-0.6b", gpus=[0], name=name, port=port, vllm_args={"device_memory_utilization": 0.4}) for name, port in (("a", 8001), ("b", 8002))
    ]
    assert plan(*both, plan_gpus=gpus(1)).errors == []


def test_a_error_names_what_the_user_wrote(plan: Plans) -> None:
    """Not the name that it has inside."""
    assert keys_of(plan(small(device_memory_utilization="much"), plan_gpus=gpus(1)).errors) == [("qwen", "vllm_args.device_memory_utilization")]


def test_an_alias_of_a_catalogue_argument_goes_over_it(plan: Plans) -> None:
    """The user's word is the last one, whichever name it has."""
    entry = {"mine": {"repo": "org/mine", "revision": "0" * 40, "arguments": {"gpu_memory_utilization": 0.9, "enable_log_requests": True}}}
    line = argv(
        plan(
            service(model="mine", gpus=[0], vllm_version="0.33.0", vllm_args={"device_memory_utilization": 0.5, "disable_log_requests": True}),
            plan_catalogue=entry,
        )
    )
    assert "--gpu-memory-utilization=0.5" in line and "--no-enable-log-requests" in line
    assert not [word for word in line if "0.9" in word or word == "--enable-log-requests"]


def test_tables_say_the_same(tables: Tables, flag_data: dict[str, Any]) -> None:
    """Every flag of the table of types, under all its names, is one of the table of flags in that version, and the other way round."""
    from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.versions import parse
    from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.flags import flag, flag_key

    assert {"0.32.0", "0.33.0"} <= set(tables.types.versions) <= set(flag_data["versions"])
    for text in tables.types.versions:
        version = parse(text)
        assert version is not None
        listed = [name for name in flag_data["flags"] if name.startswith("--") and tables.flags.has("flags", name, version)]
        assert [name for name in listed if tables.types.of(flag_key(name), version) is None] == []
        assert all(tables.flags.has("flags", flag(tables.types.spelling(flag_key(name), version)[0]), version) for name in listed)


@pytest.mark.parametrize(
    ("model", "version", "parser", "told"),
    [
        ("Qwen/Qwen3-4B-Thinking-2507", "0.16.0", "qwen3", True), ("Qwen/Qwen3-VL-30B-A3B-Thinking-FP8", "0.11.0", "qwen3", True),
        ("other/Qwen3-Next-80B-A3B-Thinking-AWQ", "0.16.0", "qwen3", True), ("Qwen/Qwen3-4B-Thinking-2507", "0.17.0", "qwen3", False),
        ("Qwen/Qwen3-4B-Thinking-2507", "0.16.0", "deepseek_r1", False), ("Qwen/Qwen3-4B-Base", "0.16.0", "qwen3", False),
    ],
)
def test_a_parser_that_changed_its_meaning_for_models_without_an_entry(plan: Plans, model: str, version: str, parser: str, told: bool) -> None:
    """Of models that no entry is about."""
    made = plan(service(model=model, revision="1" * 40, gpus=[0], vllm_version=version, vllm_args={"reasoning_parser": parser}))
    found = [warning for warning in made.warnings if "<think>" in warning]
    assert bool(found) is told and all("write deepseek_r1" in warning for warning in found)


@pytest.mark.parametrize(("version", "parser"), [("0.16.0", "deepseek_r1"), ("0.17.0", "qwen3"), ("0.32.0", "qwen3")])
def test_a_parser_that_changed_its_meaning(plan: Plans, version: str, parser: str) -> None:
    """Before 0.17 the parser qwen3 wants the <think> that this model's template writes."""
    made = plan(service(model="qwen3-235b-a22b-thinking-2507-fp8", vllm_version=version))
    assert f"--reasoning-parser={parser}" in argv(made) and made.warnings == []


# Names of fixed sets, from a report: each of them was accepted.
UNKNOWN = [
    {"quantization": "int4"},
    {"attention_backend": "FLASHATTN"},
    {"load_format": "runai"},
    {"tokenizer_mode": "fast"},
    {"config_format": "hff"},
    {"kv_cache_dtype": "fp9"},
    {"model_impl": "torch"},
    {"data_parallel_backend": "rai"},
    {"kv_transfer_config": '{"kv_connector": "NoConnector", "kv_role": "kv_both"}'},
]


@pytest.mark.parametrize("version", ["0.32.0", "0.33.0"])
@pytest.mark.parametrize("given", UNKNOWN, ids=str)
def test_unknown_names(plan: Plans, version: str, given: dict[str, Any]) -> None:
    """Each is an error, in both versions."""
    made = plan(small(version, **given), plan_gpus=gpus(1))
    assert ("qwen", f"vllm_args.{next(iter(given))}") in [
        (service, key.partition(" ")[0].replace(".kv_connector", "")) for service, key in keys_of(made.errors)
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"attention_backend": "flash_attn"},
        {"attention_backend": "auto"},
        {"distributed_executor_backend": "mine.module.Executor"},
        {"quantization": "fp8"},
        # Of plugins, which the release then has.
        {"quantization": "bitsandbytes"},
        {"load_format": "gguf"},
        {"kv_transfer_config": {"kv_connector": "Mine", "kv_role": "kv_both", "kv_connector_module_path": "mine.module"}},
    ],
    ids=str,
)
def test_known_names(plan: Plans, given: dict[str, Any]) -> None:
    """In any case where vLLM folds it, and a user's own by its path."""
    assert plan(small(**given), plan_gpus=gpus(1)).errors == []


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"load_format": "runai"}, "did you mean runai_streamer or runai_streamer_sharded?"),
        ({"quantization": "int4"}, "choose among auto_awq"),
    ],
    ids=str,
)
def test_what_is_offered(plan: Plans, given: dict[str, Any], hint: str) -> None:
    """One error, and nothing offered that is only alike."""
    [error] = plan(small(**given), plan_gpus=gpus(1)).errors
    assert error.fix.startswith(hint), error.fix
