# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every role's argument specs, its defaults and the names its tasks use agree with each other."""

from __future__ import annotations

import re

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.services import KEYS
from role_specs import ROOT, defaults, options, role_names, spec, task_files, tasks

ROLES = role_names()
TASK_FILES = [(role, path) for role in ROLES for path in task_files(role)]

# The one variable that users write without a role's prefix: the list of services, read by the plan.
UNPREFIXED = {"model_services"}

FITS: dict[str, Callable[[Any], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "dict": lambda value: isinstance(value, dict),
    "float": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "path": lambda value: isinstance(value, str),
    "raw": lambda value: True,
    "str": lambda value: isinstance(value, str),
}


def all_options(entries: dict[str, dict[str, Any]], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Options and their suboptions, each with the path to it."""
    for name, option in entries.items():
        yield prefix + name, option
        yield from all_options(option.get("options") or {}, f"{prefix}{name}.")


@pytest.mark.parametrize("role", ROLES)
def test_specs_and_defaults_name_the_same_variables(role: str) -> None:
    """What defaults/main.yml holds is specified, and what is specified has a default or is required."""
    optional = {name for name, option in options(role).items() if not option.get("required")}
    assert set(defaults(role)) == optional


@pytest.mark.parametrize("role", ROLES)
def test_specs_and_defaults_agree_on_values(role: str) -> None:
    """The default a reader finds in the specs is the one that applies."""
    found = {name: option.get("default") for name, option in options(role).items() if not option.get("required")}
    assert found == defaults(role)


def test_variables_of_two_roles_have_one_default() -> None:
    """What one role serves on and another asks at is one variable, whichever of them a play has."""
    found: dict[str, list[Any]] = {}
    for role in ROLES:
        for name, value in defaults(role).items():
            found.setdefault(name, []).append(value)
    assert {name: values for name, values in found.items() if any(value != values[0] for value in values)} == {}


@pytest.mark.parametrize("role", ROLES)
def test_defaults_fit_their_types(role: str) -> None:
    """Types of defaults, of their elements, and choices."""
    for name, option in options(role).items():
        kind = option.get("type")
        assert kind in FITS, f"{name}: type {kind!r}"
        if "default" not in option:
            continue
        value = option["default"]
        if isinstance(value, str) and value.startswith("{{"):
            # What it says stands in another variable, which has a type of its own.
            continue
        assert FITS[kind](value), f"{name}: {value!r} is not of type {kind}"
        if kind == "list":
            assert "elements" in option, f"{name}: a list without elements"
            assert all(FITS[option["elements"]](item) for item in value), f"{name}: {value!r}"
        if "choices" in option:
            assert value in option["choices"], f"{name}: {value!r} is no choice"


@pytest.mark.parametrize("role", ROLES)
def test_everything_is_described(role: str) -> None:
    """The role has a short description and a description, and so has every option and suboption the latter."""
    assert spec(role).get("short_description")
    assert spec(role).get("description")
    bare = [name for name, option in all_options(options(role)) if not option.get("description")]
    assert not bare, f"no description: {', '.join(bare)}"


@pytest.mark.parametrize("role", ROLES)
def test_variables_bear_the_role_name(role: str) -> None:
    """A role's interface begins with the role's name."""
    others = [name for name in options(role) if not name.startswith(f"{role}_") and name not in UNPREFIXED]
    assert not others


@pytest.mark.parametrize(("role", "path"), TASK_FILES, ids=[str(path.relative_to(ROOT)) for _role, path in TASK_FILES])
def test_names_inside_tasks(role: str, path: Path) -> None:
    """What tasks register, set or loop with is the role's own, and no task overwrites a parameter."""
    # ansible_*: connection variables of a single task, such as the interpreter on the controller.
    own = re.compile(rf"__{role}(_\w+)?$|{role}_\w+$|ansible_(connection|python_interpreter|become\w*)$")
    for task in tasks(path):
        facts = task.get("ansible.builtin.set_fact") or {}
        set_here = [name for name in facts if name != "cacheable"]
        named = [*set_here, *(task.get("vars") or {})]
        named += [task["register"]] if "register" in task else []
        named += [task["loop_control"]["loop_var"]] if "loop_var" in task.get("loop_control", {}) else []
        # Variables handed to another role bear that role's name.
        included = (task.get("ansible.builtin.include_role") or task.get("ansible.builtin.import_role") or {}).get("name", "")
        handed = re.compile(rf"{included.rsplit('.', 1)[-1]}_\w+$") if included else None
        others = [name for name in named if not own.match(name) and not (handed and handed.match(name))]
        assert not others, f"{path.name}: {task.get('name')}: {others}"
        parameters = [name for name in [*set_here, task.get("register")] if name in options(role)]
        assert not parameters, f"{path.name}: {task.get('name')} overwrites {parameters}"


def test_keys_of_a_service_are_those_that_the_plan_reads() -> None:
    """What the plan takes the role must not refuse, and what the role documents the plan must know."""
    assert set(options("model_service")["model_services"]["options"]) == set(KEYS)


def test_roles_are_found() -> None:
    """Guards the lists above: a moved folder must not turn the tests into none."""
    assert {"host", "model_service", "plan", "verify", "vllm", "weights"} <= set(ROLES)
