# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument values: the type of the flag in this version, and no conflicts between arguments."""

from __future__ import annotations

import json

from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping

from ..errors import HIDDEN, InvalidValue, PlanError, PlanWarning, is_secret_name, shown
from ..placement.draft import HostDraft
from ..vllm import argument_types, arguments as args
from ..vllm.argument_types import count
from . import gpus
from .base import check

# Members of speculative_config that also exist as a flag, with that flag's key.
_SPECULATIVE = {"method": "spec_method", "model": "spec_model", "num_speculative_tokens": "spec_tokens"}


# Arguments whose values other checks cover in more detail.
_OTHERS = frozenset({*args.OWNED, *gpus.SIZES, "tool_call_parser", "reasoning_parser"})


def _can_be_written(value: Any) -> bool:
    """Whether the value can be written on a command line; another check reports the others."""
    try:
        args.check_value(value)
    except InvalidValue:
        return False
    return True


@check()
def values_match_flag_types(host: HostDraft) -> Iterator[PlanError]:
    """vLLM's parser accepts each value: type, choices and bounds, for versions with known types."""
    for draft in host.services:
        for key, value in draft.given.items():
            takes = host.tables.types.of(key, draft.version)
            if takes is None or key in _OTHERS or not _can_be_written(value):
                continue
            try:
                argument_types.check(key, value, takes)
            except InvalidValue as bad:
                visible = HIDDEN if is_secret_name(key) else shown(value, key)
                yield PlanError(host.name, draft.label, draft.where(key), visible, bad.why, bad.fix)


@check()
def chat_template_is_valid(host: HostDraft) -> Iterator[PlanError]:
    """A chat template is a path or template text, not the name of a template in the tokenizer."""
    for draft in host.services:
        template = draft.given.get("chat_template")
        if isinstance(template, str) and not any(character in template for character in "{}\n/\\") and not template.endswith(".jinja"):
            why = "this is neither a path nor a template, and vLLM knows no template by its name"
            fix = "remove it, and vLLM uses the tokenizer's template; or write a path"
            yield PlanError(host.name, draft.label, draft.where("chat_template"), shown(template), why, fix)


# Members of a LoRA module (entrypoints/openai/models/protocol.py); the first two are required.
_LORA = ("name", "path", "base_model_name", "is_3d_lora_weight")


@check()
def lora_modules_are_valid(host: HostDraft) -> Iterator[PlanError]:
    """Each LoRA module is name=path or a dictionary; vLLM refuses anything else."""
    for draft in host.services:
        given = draft.given.get("lora_modules")
        for item in given if isinstance(given, (list, tuple)) else [given]:
            if item not in (None, "") and not _is_lora(item):
                why = f"a module is <name>=<path>, or a dictionary of {', '.join(_LORA)}"
                yield PlanError(host.name, draft.label, draft.where("lora_modules"), shown(item), why, "write it as {name: ..., path: ...}")


def _is_lora(item: Any) -> bool:
    if isinstance(item, str) and ("=" not in item or "," in item):
        try:
            item = json.loads(item)
        except (ValueError, RecursionError):
            return False
    if isinstance(item, Mapping):
        return set(_LORA[:2]) <= set(item) <= set(_LORA)
    return isinstance(item, str)


@check()
def required_variables_are_set(host: HostDraft) -> Iterator[PlanError]:
    """An argument that requires an environment variable has it."""
    for draft in host.services:
        on = draft.environment.get("VLLM_USE_RUST_FRONTEND", "0") == "1" or "VLLM_USE_RUST_FRONTEND" in draft.service.secret_names
        if draft.given.get("grpc_port") is not None and not on:
            why = "vLLM refuses it without VLLM_USE_RUST_FRONTEND=1"
            fix = "add VLLM_USE_RUST_FRONTEND: 1 to the service's environment, or remove it"
            yield PlanError(host.name, draft.label, draft.where("grpc_port"), shown(draft.given["grpc_port"]), why, fix)


@dataclass(frozen=True)
class _Conflict:
    """Arguments that conflict: the argument to report, the test for the conflict, the reason and the fix."""

    key: str
    clashes: Callable[[Mapping[str, Any]], bool]
    why: str
    fix: str


def _on(arguments: Mapping[str, Any], key: str, member: str) -> bool:
    return str(args.member(arguments, key, member)).lower() == "true"


def _off(arguments: Mapping[str, Any], key: str, member: str) -> bool:
    return str(args.member(arguments, key, member)).lower() == "false"


def _both(key: str, other: str, member: str) -> _Conflict:
    return _Conflict(
        key,
        lambda given: given.get(key) is not None and args.member(given, other, member) is not None,
        f"{other} has a member {member} as well, and vLLM takes only one of them",
        "keep one of the two",
    )


def _number(given: Mapping[str, Any], key: str) -> int | None:
    return count(given.get(key))


def _above(given: Mapping[str, Any], key: str, bound: str) -> bool:
    """Both numbers are given and the first is larger."""
    left, right = _number(given, key), _number(given, bound)
    return left is not None and right is not None and left > right > 0


# From vLLM 0.32.0: entrypoints/launchers/cli_args.py, engine/arg_utils.py, config/parallel.py, config/scheduler.py. They apply to all versions
# that have the flags.
_CONFLICTS = (
    _both("attention_backend", "attention_config", "backend"),
    _both("cudagraph_capture_sizes", "compilation_config", "cudagraph_capture_sizes"),
    _both("max_cudagraph_capture_size", "compilation_config", "max_cudagraph_capture_size"),
    *(_both(key, "speculative_config", member) for member, key in _SPECULATIVE.items()),
    *(
        _Conflict(
            key,
            lambda given, key=key, connector=connector, role=role: args.member(given, key, connector) is not None and args.member(given, key, role) is None,
            f"vLLM refuses a {connector} without a {role}",
            f"add {role}",
        )
        for key, connector, role in (("kv_transfer_config", "kv_connector", "kv_role"), ("ec_transfer_config", "ec_connector", "ec_role"))
    ),
    _Conflict(
        "structured_outputs_config",
        lambda given: _on(given, "structured_outputs_config", "disable_any_whitespace")
        and args.member(given, "structured_outputs_config", "backend") not in ("xgrammar", "guidance"),
        "vLLM takes disable_any_whitespace only with the backends xgrammar and guidance",
        "add backend: xgrammar or guidance",
    ),
    _Conflict(
        "structured_outputs_config",
        lambda given: _on(given, "structured_outputs_config", "disable_additional_properties")
        and args.member(given, "structured_outputs_config", "backend") != "guidance",
        "vLLM takes disable_additional_properties only with the backend guidance",
        "add backend: guidance",
    ),
    _Conflict(
        "eplb_config",
        lambda given: args.member(given, "eplb_config", "communicator") == "torch_nccl" and not _off(given, "eplb_config", "use_async"),
        "the communicator torch_nccl does not work with use_async, which is on by default",
        "leave communicator out, or write torch_gloo, or add use_async: false",
    ),
    _Conflict(
        "data_parallel_hybrid_lb",
        lambda given: given.get("data_parallel_hybrid_lb") is True and given.get("data_parallel_external_lb") is True,
        "data_parallel_external_lb is on as well, and vLLM takes only one kind of load balancing",
        "keep one of the two",
    ),
    _Conflict(
        "data_parallel_multi_port_external_lb",
        lambda given: given.get("data_parallel_multi_port_external_lb") is True,
        "it gives each rank its own port, and a service has one port",
        "remove it: vLLM then balances the ranks behind that port",
    ),
    _Conflict(
        "sse_keep_alive_interval",
        lambda given: (_number(given, "sse_keep_alive_interval") or 0) < 0,
        "it is negative",
        "write 0 to turn it off, or a number of seconds",
    ),
    _Conflict(
        "enable_log_outputs",
        lambda given: given.get("enable_log_outputs") is True and given.get("enable_log_requests") is not True,
        "vLLM refuses it without enable_log_requests",
        "add enable_log_requests: true",
    ),
    _Conflict(
        "enable_per_request_metrics",
        lambda given: given.get("enable_per_request_metrics") is True and given.get("disable_log_stats") is True,
        "disable_log_stats turns off the statistics that it needs",
        "keep one of the two",
    ),
    _Conflict(
        "enable_eplb",
        lambda given: given.get("enable_eplb") is True and given.get("enable_expert_parallel") is not True,
        "expert load balancing needs whole experts on each rank",
        "add enable_expert_parallel: true",
    ),
    _Conflict(
        "enable_elastic_ep",
        lambda given: given.get("enable_elastic_ep") is True and given.get("enable_eplb") is not True,
        "vLLM refuses it without enable_eplb",
        "add enable_eplb: true",
    ),
    _Conflict(
        "max_num_batched_tokens",
        lambda given: given.get("enable_chunked_prefill") is False and _above(given, "max_model_len", "max_num_batched_tokens"),
        "without chunked prefill a whole prompt goes into one batch, and max_model_len is larger",
        "raise it to max_model_len, or leave enable_chunked_prefill on",
    ),
    _Conflict(
        "max_num_seqs",
        lambda given: _above(given, "max_num_seqs", "max_num_batched_tokens"),
        "each sequence adds a token to the batch, and max_num_batched_tokens is smaller",
        "lower it to max_num_batched_tokens or less",
    ),
    _Conflict(
        "max_num_active_seqs",
        lambda given: _above(given, "max_num_active_seqs", "max_num_seqs"),
        "max_num_seqs is smaller",
        "lower it to max_num_seqs or less",
    ),
    _Conflict(
        "long_prefill_token_threshold",
        lambda given: _above(given, "long_prefill_token_threshold", "max_model_len"),
        "no prompt is longer than max_model_len",
        "lower it to max_model_len or less",
    ),
)


@check()
def arguments_do_not_conflict(host: HostDraft) -> Iterator[PlanError]:
    """No two arguments conflict."""
    for draft in host.services:
        for conflict in _CONFLICTS:
            if conflict.clashes(draft.given):
                value = shown(draft.given.get(conflict.key), conflict.key)
                yield PlanError(host.name, draft.label, draft.where(conflict.key), value, conflict.why, conflict.fix)


@check()
def values_are_serializable(host: HostDraft) -> Iterator[PlanError]:
    """Every value can be written on a command line."""
    for draft in host.services:
        for key, value in draft.given.items():
            try:
                args.check_value(value)
            except InvalidValue as bad:
                yield PlanError(host.name, draft.label, f"vllm_args.{key}", shown(value, key), bad.why, bad.fix)


@check(accept="unchecked-values")
def values_are_checked(host: HostDraft) -> Iterator[PlanWarning]:
    """The value types of the version's flags are known, so that values are checked."""
    types = host.tables.types
    for draft in host.services:
        if draft.given and not types.covers(draft.version):
            what = f"the values of vllm_args are not checked: the plan does not know the flag types of vLLM {draft.version.text}"
            yield PlanWarning(host.name, draft.label, f"{what} (it knows {', '.join(types.versions)}); vLLM checks them once the release is built")
