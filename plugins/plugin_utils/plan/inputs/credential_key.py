# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key that comes from outside the inventory, as a credential of AWX, for the services that have none of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Mapping

from ..vllm.engines import VLLM
from .definitions import ABSENT, PRESENT

if TYPE_CHECKING:
    from .run import HostInput

VARIABLE = "model_service_credential_api_key"
# Stands for the key in the plan, which looks at the variable itself (secrets.py) and of a service learns only that it has one.
_STANDS_FOR_IT = "credential"


def takes_it(service: Any) -> bool:
    """Whether a service, as the user wrote it, gets the key: it asks for keys and says nothing of one."""
    if not isinstance(service, Mapping) or service.get("state", PRESENT) == ABSENT:
        return False
    return service.get("api_key") is None and service.get("engine", VLLM) == VLLM


def apply_key(host: HostInput) -> HostInput:
    """The same host, its services with the key where they take it. The plan only learns from this that there is one."""
    key, found = host.variables.get(VARIABLE), host.variables.get("model_services")
    if not key or not isinstance(found, (list, tuple)):
        return host
    keyed = [{**service, "api_key": _STANDS_FOR_IT} if takes_it(service) else service for service in found]
    return replace(host, variables={**host.variables, "model_services": keyed})
