# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of all roles as C(meta/argument_specs.yml) declares them: their defaults, and their types for those that no other code reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import PlanError, is_secret_name, shown

ROLES = Path(__file__).resolve().parents[2] / "roles"
# Keys of an option that the validation uses. The other keys are documentation.
_CHECKED = ("type", "elements", "choices", "options")
_KINDS = {
    "bool": "true or false", "int": "a whole number", "float": "a number", "str": "text", "path": "a path", "list": "a list", "dict": "a dictionary",
}


def read(load: Callable[[str], Any], roles: Path = ROLES) -> dict[str, dict[str, Any]]:
    """Options by variable.

    :param load: reads a YAML file
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        for entry in load(str(path))["argument_specs"].values():
            found.update(entry.get("options") or {})
    return found


def defaults(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Defaults by variable, untemplated; null where there is none."""
    return {name: option.get("default") for name, option in options.items() if not option.get("required")}


def errors(host: str, options: Mapping[str, Mapping[str, Any]], variables: Mapping[str, Any]) -> Iterator[PlanError]:
    """An error for each variable of a host with the wrong type or an unknown choice, which a role would refuse in the middle of a run."""
    for name, value in variables.items():
        option = options[name]
        spec = {key: option[key] for key in _CHECKED if key in option}
        messages = ArgumentSpecValidator({name: spec}).validate({name: value}).error_messages
        if messages:
            # Ansible's own message would quote the value.
            why = "the value has the wrong type" if is_secret_name(name) or "choices" not in option else "the value is none of the choices"
            yield PlanError(host, "", name, shown(value, name), why, _fix(option))


def _fix(option: Mapping[str, Any]) -> str:
    if option.get("choices"):
        return "write " + " or ".join(str(choice) for choice in option["choices"])
    kind = _KINDS.get(option.get("type", "str"), option.get("type", "str"))
    return f"write {kind}" + (f" of {option['elements']}" if option.get("elements") else "")
