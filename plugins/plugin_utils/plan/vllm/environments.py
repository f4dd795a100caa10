# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment variables of services: reading, merging, and keeping secrets out."""

from __future__ import annotations

from typing import Any, Mapping

from .. import values
from ..errors import InvalidValue, PlanError, is_secret_name, shown
from .lora import VARIABLE as ADAPTERS_FILE

# Tokens of the Hub, which services do not need, since they run offline.
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")
TOKEN = ("a service runs offline and needs no token: the roles download weights before it starts", "remove it, and set weights_token for the download")

# Variables that the user may not set here, each with the reason and the fix.
_OWNED = {
    **dict.fromkeys(TOKENS, TOKEN),
    "CUDA_VISIBLE_DEVICES": ("the plan sets this variable", "name the GPUs with the service's gpus"),
    **dict.fromkeys(("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"), ("the plan sets which GPUs a service has", "name the GPUs with the service's gpus")),
    "VLLM_API_KEY": ("the unit must not contain secrets", "write the key as the service's api_key"),
    "VLLM_PORT": ("vLLM uses this port between its processes, not for the API", "set the service's port with port"),
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": (
        "it lets every client of the port load a LoRA adapter from any path of the host, and unload those of others",
        "remove it, and write the adapters under the service's adapters: site.yml loads and unloads them without a restart",
    ),
    ADAPTERS_FILE: ("the plan sets this variable", "remove it, and write the LoRA adapters under the service's adapters"),
    "VLLM_SERVER_DEV_MODE": ("it opens administrative endpoints to every client of the port", "leave it out"),
}


def read(host: str, service: str, key: str, value: Any) -> tuple[dict[str, str | None], list[PlanError]]:
    """A dictionary of environment variables as the user wrote it; None removes one. Invalid values are errors and left out."""
    try:
        pairs = values.mapping(value)
    except InvalidValue as bad:
        return {}, [PlanError(host, service, key, shown(value, key), bad.why, bad.fix)]
    found: dict[str, str | None] = {}
    errors = []
    for name, item in pairs.items():
        try:
            found[name] = _read_one(name, item)
        except InvalidValue as bad:
            errors.append(PlanError(host, service, f"{key}.{name}", shown(item, name), bad.why, bad.fix))
    return found, errors


def check_name(name: Any) -> None:
    """Check that a user may set a variable of this name.

    :raises InvalidValue: with the reason
    """
    if not isinstance(name, str) or not values.is_variable_name(name):
        raise InvalidValue("this is not a valid name of an environment variable", "use letters, digits and _")
    if name in _OWNED:
        raise InvalidValue(*_OWNED[name])


def _read_one(name: str, value: Any) -> str | None:
    check_name(name)
    if value is None:
        return None
    if is_secret_name(name):
        raise InvalidValue("by its name this is a secret, and all users can read the environment in the unit", "move it to the service's secret_environment")
    return values.environment_value(value)


def overlay(*layers: Mapping[str, str | None]) -> dict[str, str]:
    """Layers merged from the lowest to the highest; None in a higher layer removes the variable."""
    merged: dict[str, str | None] = {}
    for layer in layers:
        merged.update(layer)
    return {name: value for name, value in sorted(merged.items()) if value is not None}
