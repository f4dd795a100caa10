# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments of C(vllm serve): values checked one by one, and written as words of a command line."""

from __future__ import annotations

import json
import math

from typing import Any, Mapping

from ..errors import Bad, kind
from .flags import flag

# Flags that the plan gives itself, and how to say the same thing. Keys are those of vllm_args.
OWNED: dict[str, str] = {
    "model": "name the model with the service's model",
    "model_tag": "name the model with the service's model",
    "host": "say the address with the service's host",
    "port": "say the port with the service's port",
    "uds": "say address and port with the service's host and port",
    "served_model_name": "say the name with the service's served_model_name",
    "revision": "say the revision with the service's revision",
    "api_key": "write the key as the service's api_key: on a command line every user of the host can read it",
    "hf_token": "set weights_token for the download: the service itself works offline, and a command line is for all to read",
    "download_dir": "say where weights lie with weights_dir",
    "config": "write the arguments of the file below vllm_args: what is in the file is not checked",
    "device_ids": "choose GPUs with the service's gpus, so that the plan counts them: vLLM counts device_ids within those",
    "nnodes": "leave it out: for a service over several hosts say distributed, beside vllm_args",
    "node_rank": "leave it out: for a service over several hosts say distributed, beside vllm_args",
    "master_addr": "leave it out: for a service over several hosts say distributed, beside vllm_args",
    "master_port": "leave it out: for a service over several hosts say distributed, beside vllm_args",
    "headless": "leave it out: where distributed spreads one copy of the model over several hosts the plan gives it to the nodes without the API, and data "
    "parallel ranks on other hosts are not possible here: serve a copy on each host behind a load balancer",
}

# vLLM's short flags, which would slip past every check that looks at the long name.
SHORT: dict[str, str] = {
    "tp": "tensor_parallel_size",
    "pp": "pipeline_parallel_size",
    "dp": "data_parallel_size",
    "pcp": "prefill_context_parallel_size",
    "dcp": "decode_context_parallel_size",
    "ep": "enable_expert_parallel",
    "q": "quantization",
    "n": "nnodes",
    "r": "node_rank",
    "O": "optimization_level",
    "cc": "compilation_config",
    "ac": "attention_config",
}

# Flags that vLLM had once, and what does their work now.
RETIRED: dict[str, str] = {
    "disable_log_requests": "take it out: requests are not logged unless enable_log_requests says so",
    "enable_reasoning": "take it out: reasoning_parser alone does it",
    "rope_scaling": "write it under hf_overrides, as rope_parameters, with the model's rope_theta from its config.json beside it",
    "rope_theta": "write it under hf_overrides, as rope_parameters: {rope_type: default, rope_theta: ...}",
    "swap_space": "take it out: vLLM swaps no longer",
    "use_v2_block_manager": "take it out: it is the only one",
    "num_scheduler_steps": "take it out: async_scheduling is what hides the scheduler's time now",
    "guided_decoding_backend": "write it below structured_outputs_config, as backend",
    "override_pooler_config": "write it as pooler_config",
    "task": "take it out for models that generate or transcribe; for others write runner: pooling, and convert: embed or classify where the model was "
    "made to generate",
    "device": "take it out: the build decides",
}

# Environment variables that vLLM had once, and what does their work now.
RETIRED_VARIABLES: dict[str, str] = {
    "VLLM_ATTENTION_BACKEND": "write it below vllm_args, as attention_backend",
    "VLLM_USE_V1": "take it out: there is no other engine",
}

_LONGEST = 8192


def check_value(value: Any) -> None:
    """Refuse what cannot be written on a command line.

    :raises Bad: with the reason
    """
    if isinstance(value, Mapping):
        _json(value)
    elif isinstance(value, (list, tuple)):
        if not value:
            raise Bad("the list is empty", "give it items, or null to leave the flag out")
        for item in value:
            if isinstance(item, bool) or item is None or isinstance(item, (list, tuple)):
                raise Bad(f"an item of the list is {kind(item)}", "write text, numbers or dictionaries")
            check_value(item)
        if any(isinstance(item, str) and item.startswith("-") for item in value):
            raise Bad("an item of the list begins with a dash, so that vLLM would take it for a flag", "write each flag as a key of vllm_args")
    else:
        _scalar(value)


def to_argv(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments, all checked and none null, as words of a command line in the order given.

    V(true) becomes --flag and V(false) --no-flag, a list its flag with the items as words of their own, a dictionary compact JSON.
    """
    line: list[str] = []
    for key, value in arguments.items():
        name = flag(key)
        if value is True:
            line.append(name)
        elif value is False:
            line.append("--no-" + name[2:])
        elif isinstance(value, (list, tuple)):
            line += [name, *(_word(item) for item in value)]
        else:
            line.append(f"{name}={_word(value)}")
    return line


def _word(value: Any) -> str:
    return _json(value) if isinstance(value, Mapping) else _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        if len(value) > _LONGEST or any(not letter.isprintable() for letter in value):
            raise Bad(f"it holds a control character, a line break, or more than {_LONGEST} letters", "write it on one line")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < 10**18:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    raise Bad(f"this is {kind(value)}, or a number beyond all bounds", "write text, a number, true, false, a list or a dictionary")


def _json(value: Any) -> str:
    try:
        return _scalar(json.dumps(value, separators=(",", ":"), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, Bad):
            raise
        raise Bad("it cannot be written as JSON", "write text, numbers, true, false, lists and dictionaries") from error


def member(arguments: Mapping[str, Any], key: str, name: str) -> Any:
    """A member of an argument that holds JSON, however it is written; None when it is not there."""
    value = arguments.get(key)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    return value.get(name, arguments.get(f"{key}.{name}")) if isinstance(value, Mapping) else arguments.get(f"{key}.{name}")


def size(arguments: Mapping[str, Any], key: str) -> int | None:
    """A parallel size among the arguments: 1 when not given, None when it is not a positive whole number."""
    return (number(arguments, key) or None) if key in arguments else 1


def number(arguments: Mapping[str, Any], key: str) -> int | None:
    """A number among the arguments, 0 or more, perhaps written as text; None when it is anything else or not given."""
    value = arguments.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
