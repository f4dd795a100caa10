# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials where everyone reads: users, passwords and tokens in addresses, and tokens by themselves, in whatever a user may write.

All of it goes into units, command lines, records of releases and the plan's own output, which are no secrets.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Iterator, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils._masking import has_credentials, has_token

from ..errors import HIDDEN, PlanError
from ..inputs.settings.sources import Source
from ..placement.draft import HostDraft, ServiceDraft
from .base import check

_INDEX = "take it out, and write the user and the password into host_index_credentials: builds read them from a file that only root can read"
_ENVIRONMENT = "move the variable to the service's secret_environment, which is written to a file that only root can read"
_COMMAND = "take it out: a command line is for all to read. What needs it may know a variable for it, which can stand in the service's secret_environment"

# What to do instead, by variable of a host.
_REMEDIES = {
    **dict.fromkeys(
        (
            "host_index_url", "host_extra_index_urls", "host_find_links", "vllm_index_url", "vllm_extra_index_urls", "vllm_find_links", "vllm_source",
            "vllm_requirements", "vllm_overrides", "vllm_transformers_requirements", "vllm_build_environment",
        ),
        _INDEX,
    ),
    "weights_endpoints": "take it out: an endpoint that wants a token gets weights_token where weights_token_endpoints names it",
    "weights_token_endpoints": "take it out, here and in weights_endpoints: the endpoint gets weights_token",
    "cuda_apt_repository": "take it out, and write the user and the password into a file of /etc/apt/auth.conf.d on the host (apt_auth.conf(5))",
    "model_service_environment": "move the variable to secret_environment of the services that need it, which is written to a file that only root can read",
}
# What to do instead, by argument of vLLM.
_ARGUMENT_REMEDIES = {
    "otlp_traces_endpoint": "take it out, and give what the collector wants as OTEL_EXPORTER_OTLP_HEADERS in the service's secret_environment",
}


@check(every_engine=True)
def no_credentials_in_values(host: HostDraft) -> Iterator[PlanError]:
    """No address holds a user, a password or a token, and no value is a token, but for the variables that are secrets."""
    for setting in fields(host.settings):
        value = getattr(host.settings, setting.name)
        for where, why in _found(setting.name, value):
            yield PlanError(host.name, "", where, HIDDEN, why, _REMEDIES.get(setting.name, "take it out"))
    for draft in host.services:
        for where, why, fix in _of_service(draft, host.settings.model_service_environment):
            yield PlanError(host.name, draft.label, where, HIDDEN, why, fix)


def _of_service(draft: ServiceDraft, of_all: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    service = draft.service
    for key in ("vllm_source", "vllm_requirements"):
        yield from ((where, why, _INDEX) for where, why in _found(key, getattr(service, key)))
    for key, given, own in (("vllm_args", draft.given, service.vllm_args), ("transformers_args", service.transformers_args, service.transformers_args)):
        for name, value in given.items():
            fix = _ARGUMENT_REMEDIES.get(name, _COMMAND)
            yield from ((where + _from(name, own), why, fix) for where, why in _found(f"{key}.{name}", value))
    for name, value in draft.environment.items():
        # What is the host's own was looked at there.
        if name not in of_all or name in service.environment:
            yield from ((where + _from(name, service.environment), why, _ENVIRONMENT) for where, why in _found(f"environment.{name}", value))


def _from(name: str, own: Mapping[str, Any]) -> str:
    return "" if name in own else " (from the catalogue)"


def _found(where: str, value: Any) -> Iterator[tuple[str, str]]:
    """Where in a value, and why it may not stand there. Keys of dictionaries count as well."""
    if isinstance(value, str):
        if has_credentials(value):
            yield where, "it is an address with a user, a password or a token in it, and it goes where everybody reads: units, command lines, records, logs"
        elif has_token(value):
            yield where, "by its form it is a token, and it goes where everybody reads: units, command lines, records, logs"
    elif isinstance(value, Source):
        yield from _found(where, value.address)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _found(where, key)
            yield from _found(f"{where}.{key}", item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _found(where, item)
