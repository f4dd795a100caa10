# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How `make mutation` puts a mutant into an imported module, and which tests it tries it with."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "tests" / "mutation"))

import forked  # noqa: E402
import mutants  # noqa: E402
import sample  # noqa: E402
from affected import Sources  # noqa: E402

SOURCE = """
LIMIT = 3

def keep(function):
    return function

class Thing:
    def over(self, value):
        return value > LIMIT

@keep
def outer(value):
    def inner():
        return value + 1
    return inner()

def many(values):
    return [value + 1 for value in values]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "module_to_mutate.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "module_to_mutate", raising=False)
    return importlib.import_module("module_to_mutate")


@pytest.mark.parametrize(("old", "new", "result"), [
    ("value > LIMIT", "value <= LIMIT", [False, 3, [2]]), ("        return value + 1", "        return value + 2", [True, 4, [2]]), ("[value + 1", "[value - 1", [True, 3, [0]]),
])
def test_code_is_replaced_wherever_the_function_is_held(module: ModuleType, old: str, new: str, result: list[object]) -> None:
    """In methods, in functions in functions, and in comprehensions; others keep theirs."""
    thing, outer, many = module.Thing(), module.outer, module.many
    assert [thing.over(4), outer(2), many([1])] == [True, 3, [2]]
    assert SOURCE.count(old) == 1 and forked.replace("module_to_mutate", forked.changed("module_to_mutate", SOURCE, SOURCE.replace(old, new)))
    assert [thing.over(4), outer(2), many([1])] == result


@pytest.mark.parametrize(("old", "new"), [("LIMIT = 3", "LIMIT = 4"), ("@keep\n", "")])
def test_what_only_an_import_shows_is_not_replaced(module: ModuleType, old: str, new: str) -> None:
    new_code = forked.changed("module_to_mutate", SOURCE, SOURCE.replace(old, new))
    assert module.LIMIT == 3 and new_code == {} and not forked.replace("module_to_mutate", new_code)


def test_a_mutant_is_tried_with_the_tests_beside_it_first() -> None:
    near, far = sample.tests_of("plugins/plugin_utils/plan/checks/tls.py", Sources(ROOT, library=False))
    assert "tests/unit/plugins/plugin_utils/plan/checks/test_checks.py" in near and "tests/unit/plugins/plugin_utils/plan/host/test_tls.py" in far
    # Not those that start ansible-playbook.
    assert not [test for test in near + far if test.endswith(("test_plan_action.py", "test_users_inventories.py"))]


def test_what_is_no_python_is_no_mutant(monkeypatch: pytest.MonkeyPatch) -> None:
    """cosmic-ray takes the stars of {**a} for an operator."""
    mutant = mutants.Mutant("a.py", "core/ReplaceBinaryOperator_Pow_Mul", 0, 1)
    cosmic = {"cosmic_ray.mutating": ModuleType("mutating"), "cosmic_ray.plugins": ModuleType("plugins")}
    monkeypatch.setattr(cosmic["cosmic_ray.plugins"], "get_operator", lambda _name: lambda: None, raising=False)
    monkeypatch.setattr(cosmic["cosmic_ray.mutating"], "mutate_code", lambda source, *_rest: source.replace("**", "*", 1), raising=False)
    for name, module in cosmic.items():
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(ValueError, match="is no Python"):
        mutants.mutated(mutant, "x = {**a, **b}\n")
    assert mutants.mutated(mutant, "x = 2 ** 3\n") == "x = 2 * 3\n"
