# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments of C(vllm serve): validation of values, and their form on the command line."""

from __future__ import annotations

import json
import math

from typing import Any, Mapping

from ..errors import InvalidValue, kind
from .flags import flag

# Flags that the plan sets, each with the setting to use instead. Keys are those of vllm_args.
OWNED: dict[str, str] = {
    "model": "name the model with the service's model",
    "model_tag": "name the model with the service's model",
    "host": "set the address with the service's host",
    "port": "set the port with the service's port",
    "uds": "set address and port with the service's host and port",
    "served_model_name": "set the name with the service's served_model_name",
    "revision": "set the revision with the service's revision",
    "api_key": "write the key as the service's api_key: every user of the host can read a command line",
    "hf_token": "set weights_token for the download: the service runs offline, and every user of the host can read a command line",
    "download_dir": "set weights_dir",
    "config": "write the arguments of the file under vllm_args: the plan does not check the file",
    "device_ids": "choose GPUs with the service's gpus: device_ids counts within the visible GPUs, and the plan does not see it",
    "nnodes": "leave it out: for a multi-node service add the key distributed to the service",
    "node_rank": "leave it out: for a multi-node service add the key distributed to the service",
    "master_addr": "leave it out: for a multi-node service add the key distributed to the service",
    "master_port": "leave it out: for a multi-node service add the key distributed to the service",
    "headless": "leave it out: the plan sets it on the worker nodes of a multi-node service, with distributed, also for data parallel ranks",
}

# vLLM's short flags, which the checks of long names would miss.
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

# Flags that vLLM removed, each with its replacement.
RETIRED: dict[str, str] = {
    "disable_log_requests": "remove it: vLLM logs requests only with enable_log_requests",
    "enable_reasoning": "remove it: reasoning_parser is enough",
    "rope_scaling": "write it under hf_overrides as rope_parameters, together with the rope_theta of the model's config.json",
    "rope_theta": "write it under hf_overrides as rope_parameters: {rope_type: default, rope_theta: ...}",
    "swap_space": "remove it: vLLM no longer swaps",
    "use_v2_block_manager": "remove it: no other block manager exists",
    "num_scheduler_steps": "remove it: async_scheduling replaces it",
    "guided_decoding_backend": "write it under structured_outputs_config, as backend",
    "override_pooler_config": "write it as pooler_config",
    "task": "remove it for models that generate or transcribe; for others write runner: pooling, and for converted generative models convert: embed or "
    "classify",
    "device": "remove it: the build decides",
}

# Environment variables that vLLM removed, each with its replacement.
RETIRED_VARIABLES: dict[str, str] = {
    "VLLM_ATTENTION_BACKEND": "write it under vllm_args, as attention_backend",
    "VLLM_USE_V1": "remove it: vLLM has only the V1 engine",
}

_LONGEST = 8192


def check_value(value: Any) -> None:
    """Refuse values that cannot be written on a command line.

    :raises InvalidValue: with the reason
    """
    if isinstance(value, Mapping):
        _json(value)
    elif isinstance(value, (list, tuple)):
        if not value:
            raise InvalidValue("the list is empty", "give it items, or null to leave the flag out")
        for item in value:
            if isinstance(item, bool) or item is None or isinstance(item, (list, tuple)):
                raise InvalidValue(f"an item of the list is {kind(item)}", "write text, numbers or dictionaries")
            check_value(item)
        if any(isinstance(item, str) and item.startswith("-") for item in value):
            raise InvalidValue("an item of the list begins with a dash, and vLLM would take it for a flag", "write each flag as a key of vllm_args")
    else:
        _scalar(value)


def to_argv(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments (validated, without null) as the arguments of a command line, in the same order.

    V(true) becomes --flag and V(false) --no-flag, a list becomes the flag with one argument for each item, a dictionary becomes compact JSON.
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
        if len(value) > _LONGEST or any(not character.isprintable() for character in value):
            raise InvalidValue(f"it contains a control character, a line break, or more than {_LONGEST} characters", "write it on one line")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < 10**18:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    raise InvalidValue(f"this is {kind(value)}, or a number that is too large", "write text, a number, true, false, a list or a dictionary")


def _json(value: Any) -> str:
    try:
        return _scalar(json.dumps(value, separators=(",", ":"), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, InvalidValue):
            raise
        raise InvalidValue("it cannot be written as JSON", "write text, numbers, true, false, lists and dictionaries") from error


def member(arguments: Mapping[str, Any], key: str, name: str) -> Any:
    """A member of a JSON argument in any of its spellings; None when it is missing."""
    value = arguments.get(key)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    return value.get(name, arguments.get(f"{key}.{name}")) if isinstance(value, Mapping) else arguments.get(f"{key}.{name}")


def size(arguments: Mapping[str, Any], key: str) -> int | None:
    """A parallel size in the arguments: 1 by default, None when it is not a positive integer."""
    return (number(arguments, key) or None) if key in arguments else 1


def number(arguments: Mapping[str, Any], key: str) -> int | None:
    """An argument that is an integer from 0 on, possibly as text; None when it is anything else or missing."""
    value = arguments.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
