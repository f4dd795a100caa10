# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mutants of Python files, made with cosmic-ray's operators: one comparison, number, operator, decorator, loop or exception changed at a time.

cosmic-ray's own runner is not used: it calls one command for all modules of a project, and tries every mutant in the order of its session.
"""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """The mutation of one place of a file. O(file) is relative to the checkout, O(line) counts from 1."""

    file: str
    operator: str
    occurrence: int
    line: int


def load() -> None:
    """Make cosmic-ray importable, after the packages of this environment.

    :raises ModuleNotFoundError: tests/run-mutation.sh has not installed it
    """
    sys.path.append(str(ROOT / ".cache" / "mutation"))
    __import__("cosmic_ray.plugins")


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where annotations go. They are never evaluated (`from __future__ import annotations`), so each of their mutants is equivalent."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            part = getattr(node, name, None)
            if isinstance(part, ast.expr):
                found.append(((part.lineno, part.col_offset), (part.end_lineno or 0, part.end_col_offset or 0)))
    return found


def of(file: str, root: Path = ROOT) -> Iterator[Mutant]:
    """All mutants of a file."""
    from cosmic_ray.ast import ast_nodes, get_ast_from_path  # noqa: PLC0415
    from cosmic_ray.plugins import get_operator, operator_names  # noqa: PLC0415

    tree = get_ast_from_path(root / file)
    annotations = _annotations((root / file).read_text(encoding="utf-8"))
    for name in sorted(operator_names()):
        kind = get_operator(name)
        if kind.arguments() or name == "core/NoOp":
            continue
        positions = (position for node in ast_nodes(tree) for position in kind().mutation_positions(node))
        for occurrence, (start, _end) in enumerate(positions):
            if not any(begin <= start < end for begin, end in annotations):
                yield Mutant(file, name, occurrence, start[0])


def mutated(mutant: Mutant, source: str) -> str:
    """The source with the mutant in it.

    :raises ValueError: it would change nothing, or be no Python (C({*a, **b}))
    """
    from cosmic_ray.mutating import mutate_code  # noqa: PLC0415
    from cosmic_ray.plugins import get_operator  # noqa: PLC0415

    made = mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence)
    if made is None or made == source:
        raise ValueError(f"{mutant} changes nothing")
    try:
        compile(str(made), mutant.file, "exec")
    except SyntaxError as error:
        raise ValueError(f"{mutant} is no Python: {error}") from error
    return str(made)


def difference(source: str, made: str) -> str:
    """The lines that differ."""
    lines = difflib.unified_diff(source.splitlines(), made.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))
