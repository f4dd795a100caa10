# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables that define a host's services: C(model_services), and C(model_services_<suffix>) for each group that adds some.

When two groups define the same variable, Ansible silently uses one of them. Variables of different names are combined.
"""

from __future__ import annotations

import re

from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence

from ..errors import PlanError, PlanWarning, kind, shown

NAME = "model_services"

# What a service's state may be.
PRESENT = "present"
ABSENT = "absent"

# The name by which a user may accept the finding of hidden().
HIDDEN_CHECK = "hidden-services"

_SUFFIXED = re.compile(r"model_services_[A-Za-z0-9_]+")


def names_in(variables: Iterable[str]) -> list[str]:
    """The variables among these that define services, in the order in which they are combined."""
    found = {name for name in variables if isinstance(name, str) and (name == NAME or _SUFFIXED.fullmatch(name))}
    return sorted(found, key=lambda name: (name != NAME, name))


def names_of(variables: Mapping[str, Any]) -> list[str]:
    """The same for a host's untemplated variables. A variable that another one refers to is part of that one, and not added again."""
    found = names_in(variables)
    referred = {name for one in found for name in _referred(variables[one]) if name != one}
    # Ansible reports variables that refer to each other when it templates them.
    return [name for name in found if name not in referred] or found


def _referred(raw: Any) -> set[str]:
    """Names of such variables in an expression, at any depth."""
    if isinstance(raw, str):
        return {NAME, *_SUFFIXED.findall(raw)} if "{" in raw and re.search(rf"\b{NAME}\b(?!_)", raw) else set(_SUFFIXED.findall(raw)) if "{" in raw else set()
    if isinstance(raw, Mapping):
        return {name for value in raw.values() for name in _referred(value)}
    if isinstance(raw, (list, tuple)):
        return {name for value in raw for name in _referred(value)}
    return set()


def merged(host: str, found: Mapping[str, Any]) -> tuple[Any, list[PlanError]]:
    """The services of a host from all variables that define some. Two services with the same name are an error with both variables.

    A single variable that is not a list is returned unchanged, since the reader of services reports it.
    """
    errors: list[PlanError] = []
    usable: dict[str, Sequence[Any]] = {}
    for variable, value in found.items():
        if isinstance(value, (list, tuple)):
            usable[variable] = value
        elif value is None:
            why = "this is nothing (null) where a list of services belongs"
            errors.append(PlanError(host, "", variable, "", why, "write the services under it, or [] where there are none"))
        elif variable == NAME and len(found) == 1:
            return value, errors
        else:
            why = f"this is {kind(value)} where a list of services belongs: variables that begin with {NAME}_ add services to a host"
            fix = f"write a list, or give the variable a name that does not begin with {NAME}_"
            errors.append(PlanError(host, "", variable, shown(value, variable), why, fix))
    origin: dict[str, str] = {}
    services: list[Any] = []
    for variable, value in usable.items():
        for service in value:
            name = service.get("name") if isinstance(service, Mapping) else None
            # A check reports duplicates in one variable.
            if isinstance(name, str) and origin.setdefault(name, variable) != variable:
                why = f"{origin[name]} and {variable} both have a service of this name for the host"
                fix = f"remove it from {origin[name]} or from {variable}, or rename one of them"
                errors.append(PlanError(host, shown(name), f"{variable}[].name", shown(name), why, fix))
                continue
            services.append(service)
    return services, errors


@dataclass(frozen=True)
class Definition:
    """One group's definition of a variable: the untemplated value C(raw), and the names of the group's ancestors."""

    group: str
    raw: Any
    ancestors: frozenset[str]
    priority: int = 1


def hidden(host: str, variable: str, definitions: Sequence[Definition], effective: Any) -> PlanWarning | None:
    """The warning that one group's services hide those of another group, where neither is an ancestor of the other; else None.

    A child group overrides its ancestors on purpose, and so does a higher ansible_group_priority.

    :param effective: the host's untemplated value of the variable
    """
    losers = [
        one for one in definitions
        if one.raw and one.raw != effective and any(
            one.group not in other.ancestors and other.group not in one.ancestors and other.raw == effective and other.priority == one.priority
            for other in definitions if other is not one
        )
    ]
    winner = next((one.group for one in definitions if one.raw == effective), "")
    if not losers or not winner:
        return None
    lost = ", ".join(dict.fromkeys(name for one in losers for name in _service_names(one.raw)))
    groups = ", ".join(one.group for one in losers)
    text = (
        f"{variable} of group {winner} hides that of group {groups}, since Ansible uses one definition of a variable: "
        f"{lost or 'its services'} will not be served here. Use a separate variable for each group, like {NAME}_{_suffix(losers[0].group)} and "
        f"{NAME}_{_suffix(winner)}: the plan combines them"
    )
    return PlanWarning(host, "", text, HIDDEN_CHECK)


def _suffix(group: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", group)


def _service_names(raw: Any) -> list[str]:
    found = [service.get("name") for service in raw if isinstance(service, Mapping)] if isinstance(raw, (list, tuple)) else []
    return [name for name in found if isinstance(name, str)]
