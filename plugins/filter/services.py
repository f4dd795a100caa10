# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that turn the plan's services into the arguments of this collection's modules. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import InvalidValue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import secrets as secret_values
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.credential_key import takes_it

Service = t.Mapping[str, t.Any]


def service_secrets(services: t.Sequence[Service], credential_key: str = "") -> dict[str, dict[str, str]]:
    """Return the secret environment of each service, as the inventory defines it. `credential_key` is the API key of services without their own."""
    secrets = {}
    for service in services:
        environment = secret_environment(service)
        key = credential_key if takes_it(service) else service.get("api_key")
        if key:
            # vLLM reads the key from this variable. As an argument it would be visible in the process list.
            environment["VLLM_API_KEY"] = str(key)
        secrets[service["name"]] = environment
    return secrets


def secret_environment(service: Service) -> dict[str, str]:
    """Return a service's secret environment as text, like the plan's environment: true and false become 1 and 0, and nulls are left out."""
    found = {}
    for name, value in (service.get("secret_environment") or {}).items():
        try:
            text = secret_values.environment_value(value, name)
        except InvalidValue as bad:
            raise AnsibleFilterError(f"secret_environment.{name} of service {service.get('name')}: {bad.why}; {bad.fix}") from None
        if text is not None:
            found[name] = text
    return found


def service_checks(
    services: t.Sequence[Service], secrets: t.Mapping[str, t.Mapping[str, str]], on_host: bool = False, verify: bool = True, authorities: str = "",
) -> list[dict[str, t.Any]]:
    """Return the present services as the module `api_check` takes them; with `on_host`, with their local URL and their unit.

    The module verifies certificates only from another host: on the service's own host no other program can answer, and no certificate is valid for
    127.0.0.1.
    """
    return [
        {
            "name": service["name"],
            "url": service["local_url"] if on_host else service["url"],
            "model": service["served_model_name"],
            "task": service["task"],
            "thinking": service["thinking"] or "unknown",
            "thinking_switch": service["thinking_switch"] or None,
            "certificate_name": (service["tls"] or {}).get("name") or None,
            "verify_certificate": verify and not on_host,
            "authorities": authorities or None,
            "api_key": secrets[service["name"]].get("VLLM_API_KEY", ""),
            "unit": service["unit"] if on_host else None,
            # The health gate is about the base model: an adapter that cannot be loaded is no reason to roll it back.
            "adapters": [] if on_host else adapter_names(service),
        }
        # Only the head of a multi-node service has an API.
        for service in services if service["state"] == "present" and service["url"]
    ]


def adapter_names(service: Service) -> list[str]:
    """Return the names of a service's LoRA adapters in the API."""
    adapters = service.get("adapters") or {}
    return sorted({*adapters.get("paths", {}), *adapters.get("static", [])})


def service_adapters(services: t.Sequence[Service], secrets: t.Mapping[str, t.Mapping[str, str]]) -> list[dict[str, t.Any]]:
    """Return the services whose running engine follows a file with its adapters, as the module `service_adapters` takes them."""
    return [
        {
            "name": service["name"],
            "unit": service["unit"],
            "url": service["local_url"],
            "api_key": secrets[service["name"]].get("VLLM_API_KEY", ""),
            "served": service["served"],
            **{key: service["adapters"][key] for key in ("file", "paths", "static")},
        }
        for service in services if service["state"] == "present" and service["adapters"]["file"]
    ]


def service_lines(answers: t.Mapping[str, t.Mapping[str, t.Any]], services: t.Sequence[Service]) -> list[str]:
    """Return a line for each service that answered, with its URL and its answer."""
    where = {service["name"]: service for service in services if service["state"] == "present"}
    return [
        f"{name} serves {where[name]['served_model_name']} at {where[name]['url']}/v1{_by_name(where[name])}: "
        f"{answer['task']}, {_tokens(answer)}{answer['seconds']} s, {answer['content'][:60]!r}{_with_adapters(where[name])}"
        for name, answer in sorted(answers.items())
    ]


def _with_adapters(service: Service) -> str:
    names = adapter_names(service)
    return f", with {'adapter' if len(names) == 1 else 'adapters'} {', '.join(names)}" if names else ""


def _tokens(answer: t.Mapping[str, t.Any]) -> str:
    """The number of tokens, which a transcription does not have."""
    return "" if answer["tokens"] is None else f"{answer['tokens']} tokens in "


def _by_name(service: Service) -> str:
    """The URL with the name in the certificate, where that differs from the host's address."""
    name = (service.get("tls") or {}).get("name")
    return f" (as https://{name}:{service['port']}/v1)" if name else ""


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "service_secrets": service_secrets,
            "service_checks": service_checks,
            "service_adapters": service_adapters,
            "service_lines": service_lines,
        }
