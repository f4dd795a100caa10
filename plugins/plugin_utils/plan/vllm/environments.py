# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment variables of services: read, laid over each other, and kept free of secrets."""

from __future__ import annotations

from typing import Any, Mapping

from .. import values
from ..errors import Bad, PlanError, is_secret_name, shown

# Tokens of the Hub: services run offline, so that one of these serves nothing.
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")
TOKEN = ("a service runs offline and uses no token: weights are downloaded before it starts", "remove it, and set weights_token for the download")

# Variables that are not the user's to set here: why, and what to do instead.
_OWNED = {
    **dict.fromkeys(TOKENS, TOKEN),
    "CUDA_VISIBLE_DEVICES": ("the plan sets this variable", "name the GPUs with the service's gpus"),
    "VLLM_API_KEY": ("a secret does not belong into the unit", "write the key as the service's api_key"),
    "VLLM_PORT": ("this is not the port that the service answers on, but one for its own processes", "say the service's port with port"),
    "VLLM_SERVER_DEV_MODE": ("it opens administration of the engine to everyone who reaches the port", "leave it out"),
}


def read(host: str, service: str, key: str, value: Any) -> tuple[dict[str, str | None], list[PlanError]]:
    """A dictionary of environment variables as the user wrote it; None takes one away. What cannot be used is left out and an error."""
    try:
        pairs = values.mapping(value)
    except Bad as bad:
        return {}, [PlanError(host, service, key, shown(value, key), bad.why, bad.fix)]
    found: dict[str, str | None] = {}
    errors = []
    for name, item in pairs.items():
        try:
            found[name] = _read_one(name, item)
        except Bad as bad:
            errors.append(PlanError(host, service, f"{key}.{name}", shown(item, name), bad.why, bad.fix))
    return found, errors


def check_name(name: Any) -> None:
    """Whether a user may set a variable of this name.

    :raises Bad: with the reason
    """
    if not isinstance(name, str) or not values.is_variable_name(name):
        raise Bad("this is not a name for an environment variable", "use letters, digits and _")
    if name in _OWNED:
        raise Bad(*_OWNED[name])


def _read_one(name: str, value: Any) -> str | None:
    check_name(name)
    if value is None:
        return None
    if is_secret_name(name):
        raise Bad("by its name this is a secret, and the environment stands in the unit for all to read", "move it to the service's secret_environment")
    return values.environment_value(value)


def overlay(*layers: Mapping[str, str | None]) -> dict[str, str]:
    """Layers from the lowest to the highest; a None in a higher one takes the variable away."""
    merged: dict[str, str | None] = {}
    for layer in layers:
        merged.update(layer)
    return {name: value for name, value in sorted(merged.items()) if value is not None}
