# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of model_services: services as the user wrote them, read into types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from .. import values
from ..errors import HIDDEN, InvalidValue, PlanError, did_you_mean, is_secret_name, kind, nearest, shown
from ..models import tasks
from ..versions import Version
from ..vllm import engines, environments
from . import gguf, lora_adapters, objectives, secrets, service_files
from .definitions import ABSENT, PRESENT
from .disaggregation import Disaggregation, read as read_disaggregation
from .distributed import Distributed, read as read_distributed
from .settings import requirements, sources

# Placeholder for a service that could not be templated, which was reported already. It keeps the positions of the other services.
UNREADABLE = object()


@dataclass(frozen=True)
class Service:
    """One service. Missing and invalid values are None; C(label) names the service in errors.

    C(secret_names) are the names of variables in secret_environment, without their values. C(adapters) is None without the key: an engine that may get
    adapters later has an empty one.
    """

    label: str
    name: str | None = None
    state: str = PRESENT
    engine: str = engines.VLLM
    model: str | None = None
    profile: str | None = None
    preset: str | None = None
    port: int | None = None
    gpus: tuple[int | str, ...] | None = None
    vllm_args: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str | None] = field(default_factory=dict)
    secret_names: tuple[str, ...] = ()
    served_model_names: tuple[str, ...] = ()
    host: str = "0.0.0.0"
    revision: str | None = None
    vllm_version: Version | None = None
    vllm_source: sources.Source | None = None
    vllm_requirements: tuple[str, ...] | None = None
    transformers_args: dict[str, Any] = field(default_factory=dict)
    transformers_version: Version | None = None
    has_api_key: bool = False
    distributed: Distributed | None = None
    disaggregation: Disaggregation | None = None
    weights_path: str | None = None
    weights_mount: str | None = None
    task: str | None = None
    tls_server_name: str | None = None
    files: tuple[service_files.ServiceFile, ...] = ()
    extra_repositories: dict[str, str] = field(default_factory=dict)
    adapters: tuple[lora_adapters.Adapter, ...] | None = None
    gguf_file: str | None = None
    objectives: dict[str, float] = field(default_factory=dict)

    @property
    def served_model_name(self) -> str | None:
        """The first name in the API, which the health gate and reports use."""
        return self.served_model_names[0] if self.served_model_names else None

    @property
    def unit(self) -> str:
        return f"vllm-{self.name}.service"


def _state(value: Any) -> str:
    if value not in (PRESENT, ABSENT):
        raise InvalidValue("there is no such state", "write present or absent")
    return str(value)


def _model(value: Any) -> str:
    read = values.string(value)
    if not read:
        raise InvalidValue("it is empty", "name a catalogue entry or a repository id like <organisation>/<name>")
    return read


def _extra_repositories(value: Any) -> dict[str, str]:
    return {values.repo(repo): values.revision(revision) for repo, revision in values.mapping(value).items()}


def _served_names(value: Any) -> tuple[str, ...]:
    """One name in the API, or several as vLLM's flag takes them. The health gate and reports use the first."""
    if not isinstance(value, (list, tuple)):
        return (values.word(value),)
    if not value:
        raise InvalidValue("the list is empty", "name at least one, or leave it out for the service's own name")
    names = tuple(values.word(name) for name in value)
    if any(name.startswith("-") for name in names):
        raise InvalidValue("a name begins with a dash, and vLLM would take it for a flag", "write names without a leading dash")
    if len(set(names)) < len(names):
        raise InvalidValue("a name is repeated", "write each name once")
    return names


_READERS: dict[str, values.Reader] = {
    "name": values.service_name,
    "state": _state,
    "engine": engines.read,
    "model": _model,
    "profile": values.word,
    "preset": values.word,
    "port": values.integer(1, 65535),
    "gpus": values.gpu_indexes,
    "vllm_args": values.mapping,
    "served_model_name": _served_names,
    "host": values.bind_address,
    "revision": values.revision,
    "vllm_version": values.version,
    "vllm_source": sources.read,
    "vllm_requirements": requirements,
    "transformers_args": values.mapping,
    "transformers_version": values.version,
    "weights_path": values.path,
    "weights_mount": values.path,
    "task": tasks.read,
    "tls_server_name": values.host_name,
    "files": service_files.read,
    "extra_repositories": _extra_repositories,
    "adapters": lora_adapters.read,
    "gguf_file": gguf.read,
    "objectives": objectives.read,
}
SECRETS = ("api_key", "secret_environment")
KEYS: tuple[str, ...] = (*_READERS, "environment", "distributed", "disaggregation", *SECRETS)

# Required keys of a present service, each with the fix.
_NEEDED = {
    "model": "name a catalogue entry or a repository id like <organisation>/<name>",
    "port": "set the port on which the service listens, for example port: 8001",
}


def read_all(host: str, raw: Any, flag_names: frozenset[str]) -> tuple[list[Service], list[PlanError]]:
    """All services of a host.

    :param flag_names: keys of vllm_args, to detect flags that the user wrote next to vllm_args instead of under it
    """
    if not isinstance(raw, (list, tuple)):
        return [], [PlanError(host, "", "model_services", shown(raw), f"this is {kind(raw)} where a list of services belongs", "write a list: - name: ...")]
    services = []
    errors = []
    for position, item in enumerate(raw):
        if item is UNREADABLE:
            continue
        service, bad = _read_one(host, position, item, flag_names)
        errors += bad
        if service is not None:
            services.append(service)
    return services, errors


def _read_one(host: str, position: int, raw: Any, flag_names: frozenset[str]) -> tuple[Service | None, list[PlanError]]:
    label = f"model_services[{position}]"
    if not isinstance(raw, Mapping):
        fix = "write it as name: ..., model: ..., port: ... lines"
        return None, [PlanError(host, label, "", shown(raw), f"this is {kind(raw)} where a service belongs", fix)]
    name = raw.get("name")
    if isinstance(name, str) and name and name.isprintable():
        label = shown(name)
    raw, errors = _with_served_names(host, label, raw)
    found: dict[str, Any] = {"label": label}
    for key, value in raw.items():
        if key not in KEYS:
            errors.append(_unknown_key(host, label, key, value, flag_names))
        elif key in _READERS and value is not None:
            try:
                found["served_model_names" if key == "served_model_name" else key] = _READERS[key](value)
            except InvalidValue as bad:
                errors.append(PlanError(host, label, str(key), shown(value, key), bad.why, bad.fix))
    if raw.get("name") is None:
        errors.append(PlanError(host, label, "name", "", "the service has no name", "add name: ..., in lower-case letters, digits, . and -"))
    if raw.get("state", PRESENT) == ABSENT:
        # Only the name matters for a removal; the other keys may be out of date.
        only_name = [error for error in errors if error.key in ("name", "state")]
        return Service(label=label, name=found.get("name"), state=ABSENT), only_name
    for key, fix in _NEEDED.items():
        if raw.get(key) is None:
            errors.append(PlanError(host, label, key, "", f"the service has no {key}", fix))
    if raw.get("environment") is not None:
        found["environment"], bad_variables = environments.read(host, label, "environment", raw["environment"])
        errors += bad_variables
    if raw.get("distributed") is not None:
        found["distributed"], bad_parts = read_distributed(host, label, raw["distributed"])
        errors += bad_parts
    if raw.get("disaggregation") is not None:
        found["disaggregation"], bad_parts = read_disaggregation(host, label, raw["disaggregation"])
        errors += bad_parts
    errors += _check_secrets(host, label, raw)
    found["environment"] = {**found.get("environment", {}), **_taken_away(raw.get("secret_environment"))}
    return Service(has_api_key=bool(raw.get("api_key")), secret_names=_secret_names(raw.get("secret_environment")), **found), errors


def _with_served_names(host: str, label: str, raw: Mapping[Any, Any]) -> tuple[Mapping[Any, Any], list[PlanError]]:
    """A service with served_model_name moved from vllm_args to the service, where the user wrote it under vllm_args."""
    arguments = raw.get("vllm_args")
    spelt = [key for key in ("served_model_name", "served-model-name") if isinstance(arguments, Mapping) and key in arguments]
    if not spelt or not isinstance(arguments, Mapping):
        return raw, []
    given = arguments[spelt[0]]
    rest = {key: value for key, value in arguments.items() if key not in spelt}
    own = raw.get("served_model_name")
    if own is not None and given is not None and own != given:
        why = f"the service's served_model_name is {shown(own)}"
        return {**raw, "vllm_args": rest}, [PlanError(host, label, f"vllm_args.{spelt[0]}", shown(given), why, "keep one of the two")]
    return {**raw, "vllm_args": rest, **({"served_model_name": given} if given is not None else {})}, []


def _unknown_key(host: str, label: str, key: Any, value: Any, flag_names: frozenset[str]) -> PlanError:
    near_secret = any(found in SECRETS for found in nearest(key, KEYS, limit=1))
    value_shown = HIDDEN if near_secret or is_secret_name(key) else shown(value, key)
    if isinstance(key, str) and key.replace("-", "_") in flag_names:
        fix = f"this is a flag of vLLM: write it under vllm_args, as {key.replace('-', '_')}"
    else:
        fix = did_you_mean(key, KEYS, f"a service has {', '.join(KEYS)}")
    return PlanError(host, label, shown(str(key)), value_shown, "a service has no such key", fix)


def _check_secrets(host: str, label: str, raw: Mapping[Any, Any]) -> list[PlanError]:
    """The errors in a service's secrets, which are never shown."""
    errors = []
    if raw.get("api_key") is not None:
        try:
            secrets.header(raw["api_key"], "api_key")
        except InvalidValue as bad:
            errors.append(PlanError(host, label, "api_key", HIDDEN, bad.why, bad.fix))
    given = raw.get("secret_environment")
    if given is None:
        return errors
    if not isinstance(given, Mapping):
        why = f"this is {kind(given)} where a dictionary belongs"
        return [*errors, PlanError(host, label, "secret_environment", HIDDEN, why, "write it as NAME: value lines")]
    for name, value in given.items():
        # An invalid name may be the secret itself, with name and value swapped.
        where = f"secret_environment.{name}" if isinstance(name, str) and values.is_variable_name(name) else "secret_environment"
        try:
            environments.check_name(name)
            secrets.environment_value(value, name)
        except InvalidValue as bad:
            errors.append(PlanError(host, label, where, HIDDEN, bad.why, bad.fix))
    return errors


def _secret_names(raw: Any) -> tuple[str, ...]:
    """Names of the variables that a secret_environment sets."""
    pairs = raw.items() if isinstance(raw, Mapping) else ()
    return tuple(name for name, value in pairs if value is not None and isinstance(name, str) and values.is_variable_name(name))


def _taken_away(raw: Any) -> dict[str, None]:
    """Variables that a secret_environment removes with null."""
    return {name: None for name, value in raw.items() if value is None and isinstance(name, str)} if isinstance(raw, Mapping) else {}
