# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API key from outside the inventory (a credential of AWX), for services without their own key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Mapping

from ..vllm.engines import VLLM
from .definitions import ABSENT, PRESENT

if TYPE_CHECKING:
    from .run import HostInput

VARIABLE = "model_service_credential_api_key"
# Placeholder for the key: the plan checks the variable itself (secrets.py), and needs to know only that a service has a key.
_PLACEHOLDER = "credential"


def takes_it(service: Any) -> bool:
    """Whether a service, as the user wrote it, gets the key: its engine checks keys, and it sets none."""
    if not isinstance(service, Mapping) or service.get("state", PRESENT) == ABSENT:
        return False
    return service.get("api_key") is None and service.get("engine", VLLM) == VLLM


def apply_key(host: HostInput) -> HostInput:
    """The host, with a placeholder for the key in each service that gets it."""
    key, found = host.variables.get(VARIABLE), host.variables.get("model_services")
    if not key or not isinstance(found, (list, tuple)):
        return host
    keyed = [{**service, "api_key": _PLACEHOLDER} if takes_it(service) else service for service in found]
    return replace(host, variables={**host.variables, "model_services": keyed})
