# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prefill and decode apart: the key C(disaggregation) of a service."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .. import sections, values
from ..errors import InvalidValue, PlanError

PREFILL, DECODE = "prefill", "decode"
# vLLM's name of each role: who makes the KV cache, and who takes it.
KV_ROLES = {PREFILL: "kv_producer", DECODE: "kv_consumer"}
# The side channel's port unless set, which is vLLM's own (envs.py, VLLM_NIXL_SIDE_CHANNEL_PORT).
DEFAULT_PORT = 5600


@dataclass(frozen=True)
class Disaggregation:
    """The key C(disaggregation). C(role) and C(peers), the name of the service with the other role, are None when missing or invalid. C(port) is the first
    port of the side channel on which peers ask for the place of a KV cache."""

    role: str | None = None
    peers: str | None = None
    port: int = DEFAULT_PORT


def _role(value: Any) -> str:
    if not isinstance(value, str) or value not in KV_ROLES:
        raise InvalidValue("there is no such role", "write prefill or decode")
    return str(value)


_READERS: dict[str, values.Reader] = {"role": _role, "peers": values.service_name, "port": values.integer(1024, 65535)}
_NEEDED = {"role": "write role: prefill or role: decode", "peers": "write peers: …, the name of the service with the other role"}


def read(host: str, service: str, raw: Any) -> tuple[Disaggregation, list[PlanError]]:
    """The key C(disaggregation) of a service. Invalid values are errors and left out."""
    found, errors = sections.read(host, "disaggregation", raw, _READERS, "disaggregation")
    reported = {error.key for error in errors}
    for key, fix in _NEEDED.items():
        if key not in found and not reported & {"disaggregation", f"disaggregation.{key}"}:
            errors.append(PlanError(host, "", f"disaggregation.{key}", "", "it is missing", fix))
    return Disaggregation(**found), [replace(error, service=service) for error in errors]
