# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Imports among the plan's packages run one way, and nothing in it needs Ansible."""

from __future__ import annotations

import ast

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[5]
PLAN = ROOT / "plugins" / "plugin_utils" / "plan"
# Each imports from itself and from those before it.
LAYERS = ["", "vllm", "models", "inputs", "artifacts", "placement", "host", "checks", "output", "resolve"]


def layer(parts: tuple[str, ...]) -> str:
    """The layer of a module, given as the parts of its path under the plan."""
    return parts[0] if parts and parts[0] in LAYERS else ""


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """What a module imports: the parts of its path under the plan, or an absolute name as one part."""
    here = path.relative_to(PLAN).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name,) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "",)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] + tuple((node.module or "").split(".") if node.module else ())
            yield from ((*base, alias.name) for alias in node.names)


MODULES = sorted(PLAN.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PLAN)))
def test_imports_run_one_way(path: Path) -> None:
    own = LAYERS.index(layer(tuple(part.removesuffix(".py") for part in path.relative_to(PLAN).parts)))
    for found in imports(path):
        assert found[0].partition(".")[0] != "ansible", f"{found[0]}: the plan is plain Python"
        if len(found) > 1:
            assert LAYERS.index(layer(found)) <= own, f"{'.'.join(found)} is of a later layer: move one of the two"


def test_all_layers_are_there() -> None:
    found = {layer(path.relative_to(PLAN).parts) for path in MODULES} | {layer((path.stem,)) for path in MODULES}
    assert found == set(LAYERS)
