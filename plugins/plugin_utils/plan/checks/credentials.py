# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No credentials in public values: users, passwords and tokens in URLs, and tokens as values.

These values go into units, command lines, release records and the plan's output, which all users of the host can read.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Iterator, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils._masking import has_credentials, has_token

from ..errors import HIDDEN, PlanError
from ..inputs.settings.sources import Source
from ..placement.draft import HostDraft, ServiceDraft
from .base import check

_INDEX = "remove it, and write user and password into host_index_credentials: builds read them from a file that only root can read"
_ENVIRONMENT = "move the variable to the service's secret_environment: it goes into a file that only root can read"
_COMMAND = "remove it: all users can read a command line. Where the program also reads a variable, set that in the service's secret_environment"

# Fixes by variable of a host.
_FIXES = {
    **dict.fromkeys(
        (
            "host_index_url", "host_extra_index_urls", "host_find_links", "vllm_index_url", "vllm_extra_index_urls", "vllm_find_links", "vllm_source",
            "vllm_requirements", "vllm_overrides", "vllm_transformers_requirements", "vllm_build_environment",
        ),
        _INDEX,
    ),
    "weights_endpoints": "remove it: endpoints in weights_token_endpoints get weights_token",
    "weights_token_endpoints": "remove it, here and in weights_endpoints: the endpoint gets weights_token",
    "cuda_apt_repository": "remove it, and write user and password into a file in /etc/apt/auth.conf.d on the host (apt_auth.conf(5))",
    "model_service_environment": "move the variable to secret_environment of the services that need it: it goes into a file that only root can read",
}
# Fixes by argument of vLLM.
_ARGUMENT_FIXES = {
    "otlp_traces_endpoint": "remove it, and set OTEL_EXPORTER_OTLP_HEADERS in the service's secret_environment",
}


@check(every_engine=True)
def no_credentials_in_values(host: HostDraft) -> Iterator[PlanError]:
    """No URL contains a user, a password or a token, and no value is a token, except in the variables for secrets."""
    for setting in fields(host.settings):
        value = getattr(host.settings, setting.name)
        for where, why in _found(setting.name, value):
            yield PlanError(host.name, "", where, HIDDEN, why, _FIXES.get(setting.name, "remove it"))
    for draft in host.services:
        for where, why, fix in _of_service(draft, host.settings.model_service_environment):
            yield PlanError(host.name, draft.label, where, HIDDEN, why, fix)


def _of_service(draft: ServiceDraft, of_all: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    service = draft.service
    for key in ("vllm_source", "vllm_requirements"):
        yield from ((where, why, _INDEX) for where, why in _found(key, getattr(service, key)))
    for key, given, own in (("vllm_args", draft.given, service.vllm_args), ("transformers_args", service.transformers_args, service.transformers_args)):
        for name, value in given.items():
            fix = _ARGUMENT_FIXES.get(name, _COMMAND)
            yield from ((where + _from(name, own), why, fix) for where, why in _found(f"{key}.{name}", value))
    for name, value in draft.environment.items():
        # The variables of the host are checked above.
        if name not in of_all or name in service.environment:
            yield from ((where + _from(name, service.environment), why, _ENVIRONMENT) for where, why in _found(f"environment.{name}", value))


def _from(name: str, own: Mapping[str, Any]) -> str:
    return "" if name in own else " (from the catalogue)"


def _found(where: str, value: Any) -> Iterator[tuple[str, str]]:
    """Places in a value that contain credentials, each with the reason. Keys of dictionaries are searched as well."""
    if isinstance(value, str):
        if has_credentials(value):
            yield where, "this address contains a user, a password or a token, and all users can read it in units, command lines, records and logs"
        elif has_token(value):
            yield where, "this looks like a token, and all users can read it in units, command lines, records and logs"
    elif isinstance(value, Source):
        yield from _found(where, value.address)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _found(where, key)
            yield from _found(f"{where}.{key}", item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _found(where, item)
