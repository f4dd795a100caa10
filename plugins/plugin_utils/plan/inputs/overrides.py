# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Overrides of one service for a run: from a survey of AWX, or C(-e). An empty override leaves the inventory's value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Iterator, Mapping, Sequence

from .. import values
from ..errors import InvalidValue, PlanError, PlanWarning, did_you_mean, shown
from . import services
from .run import HostInput, Run

NAME = "plan_service_name"

_LONGEST_CONTEXT = 2**31 - 1
_EMPTY: tuple[Any, ...] = (None, "", [], ())
_NO_NUMBER: tuple[Any, ...] = (*_EMPTY, 0, "0")

# Keys that belong to the model in the inventory, and do not apply to another model.
OF_THE_MODEL = ("profile", "preset", "revision", "weights_path", "weights_mount")


def _gpus(value: Any) -> list[int | str]:
    """Numbers as a list or, as the command line gives them, as text: 0,1,2."""
    return list(values.gpu_indexes(value.replace(",", " ").split() if isinstance(value, str) else value))


# By variable: the key of the service that it sets (the last one is under vllm_args), its reader, and the values that mean no override.
_OVERRIDES: dict[str, tuple[str, values.Reader, tuple[Any, ...]]] = {
    "plan_service_model": ("model", values.word, _EMPTY),
    "plan_service_vllm_version": ("vllm_version", lambda value: values.version(value).text, _EMPTY),
    "plan_service_port": ("port", values.integer(1, 65535), _NO_NUMBER),
    "plan_service_gpus": ("gpus", _gpus, _EMPTY),
    "plan_service_max_model_len": ("max_model_len", values.integer(1, _LONGEST_CONTEXT), _NO_NUMBER),
}

VARIABLES: tuple[str, ...] = (NAME, *_OVERRIDES)


@dataclass(frozen=True)
class _Overrides:
    """The overrides for a host: the service's name, empty for the only service, and its new values by key."""

    name: str
    given: dict[str, Any]
    errors: tuple[PlanError, ...]


def apply_overrides(hosts: Sequence[HostInput], run: Run) -> list[HostInput]:
    """The hosts with the overrides applied to their service, on hosts that the run reaches.

    Without a name they apply to the only service of these hosts. Invalid overrides become errors of the host, and each change a warning.
    """
    reached = [host for host in hosts if run.hosts is None or host.name in run.hosts]
    names = sorted({name for host in reached for name in _names(host)})
    reached_names = {host.name for host in reached}
    return [_with_overrides(host, names) if host.name in reached_names else host for host in hosts]


def _with_overrides(host: HostInput, names: Sequence[str]) -> HostInput:
    overrides = _read(host)
    errors = (*overrides.errors, *_target_errors(host, overrides, names))
    target = overrides.name or (names[0] if len(names) == 1 else "")
    if errors or not overrides.given or target not in _names(host):
        return replace(host, errors=(*host.errors, *errors))
    services_before = host.variables["model_services"]
    before = next(service for service in services_before if _is_present(service) and service["name"] == target)
    after = _with(before, overrides.given)
    services_after = [after if service is before else service for service in services_before]
    return replace(host, variables={**host.variables, "model_services": services_after}, warnings=(*host.warnings, *_changes(host, before, after)))


def _changes(host: HostInput, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[PlanWarning]:
    """A warning with the values that differ from the inventory."""
    old, new = _flat(before), _flat(after)
    changes = [
        f"{key} {shown(new[key])}" + (f" instead of {shown(old[key])}" if old.get(key) is not None else "")
        for key in new if str(old.get(key)) != str(new[key])
    ]
    if changes:
        left_out = [key for key in OF_THE_MODEL if old.get(key) is not None and key not in new]
        also = f", and without {', '.join(left_out)} of the inventory's model" if left_out else ""
        text = f"this run uses {', '.join(changes)}{also}; the next run without these overrides uses the inventory again"
        yield PlanWarning(host.name, before["name"], text)


def _flat(service: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a service that overrides may change."""
    arguments = service.get("vllm_args")
    context = {"max_model_len": arguments["max_model_len"]} if isinstance(arguments, Mapping) and "max_model_len" in arguments else {}
    keys = (*OF_THE_MODEL, *(key for key, _reader, _empty in _OVERRIDES.values()))
    return {**{key: service[key] for key in keys if key in service}, **context}


def _read(host: HostInput) -> _Overrides:
    given: dict[str, Any] = {}
    errors = []
    for variable, (key, reader, empty) in _OVERRIDES.items():
        raw = host.variables.get(variable)
        value = raw.strip() if isinstance(raw, str) else raw
        if value in empty and not isinstance(value, bool):
            continue
        try:
            given[key] = reader(value)
        except InvalidValue as bad:
            errors.append(PlanError(host.name, "", variable, shown(raw), bad.why, f"{bad.fix}, or leave it empty for the inventory's value"))
    name = host.variables.get(NAME)
    if name is not None and not isinstance(name, str):
        errors.append(PlanError(host.name, "", NAME, shown(name), "this is not text", "write the name of a service, or leave it empty"))
    return _Overrides(name.strip() if isinstance(name, str) else "", given, tuple(errors))


def _target_errors(host: HostInput, overrides: _Overrides, names: Sequence[str]) -> Iterator[PlanError]:
    """The errors of overrides that do not apply to exactly one service."""
    if overrides.name and overrides.name not in names:
        has = f"the hosts of this run have {', '.join(names)}" if names else "the hosts of this run have none"
        yield PlanError(host.name, "", NAME, shown(overrides.name), "no host of this run has this service", did_you_mean(overrides.name, names, has))
    elif overrides.given and not overrides.name and len(names) > 1:
        yield PlanError(
            host.name, "", NAME, "",
            f"{', '.join(overrides.given)} apply to one service, and the hosts of this run have {len(names)}: {', '.join(names)}",
            f"name one of them in {NAME}, or limit the run to a group or host with one service",
        )


def _names(host: HostInput) -> list[str]:
    found = host.variables.get("model_services")
    return [service["name"] for service in found if _is_present(service)] if isinstance(found, (list, tuple)) else []


def _is_present(service: Any) -> bool:
    return isinstance(service, Mapping) and isinstance(service.get("name"), str) and service.get("state", services.PRESENT) != services.ABSENT


def _with(service: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A service as the user wrote it, with the overrides applied."""
    changed = {**service, **{key: value for key, value in given.items() if key != "max_model_len"}}
    if changed.get("model") != service.get("model"):
        changed = {key: value for key, value in changed.items() if key not in OF_THE_MODEL}
    if "max_model_len" in given:
        arguments = service.get("vllm_args")
        # The reader of services reports vllm_args that are not a dictionary.
        changed["vllm_args"] = {**(arguments or {}), "max_model_len": given["max_model_len"]} if isinstance(arguments, (Mapping, type(None))) else arguments
    return changed
