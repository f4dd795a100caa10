#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of unit tests that changed files can break, for C(make check).

    tests/tools/affected.py PATH...      a line "run FILE" or "leave FILE" for each file of unit tests, the nearest to the change first

Python is followed by its imports: a test's own, those of its conftest.py files, and all that these import in turn. A test that reads files of the
checkout always runs (one that runs plays: if what plays read has changed); one whose fixtures read the plan's data runs when these have changed.
Settings that all tests share pick all of them.
"""

from __future__ import annotations

import ast
import functools
import heapq
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_PREFIX = "ansible_collections.inferops.gpu."
_UNIT = "tests/unit/"
_TESTS = ("tests/", "lab/")
# Sets the search path of imports by its own path.
_FIRST = "tests/unit/conftest.py"
# Every test depends on these.
_SHARED = ("requirements", "ansible.cfg", "tests/env.sh", "tests/pytest.ini", "tests/run-unit.sh", "tests/run-check.sh")
# Helpers that tests import by their bare names.
_BARE = ("tests/unit", "tests/tools", "lab")
# Runs ansible-playbook, which finds these plugins by their names. No play of a unit test installs the host library.
_PLAYS = "tests/unit/plugins/ansible_runs.py"
_PLUGINS = ("plugins/action/", "plugins/filter/", "plugins/lookup/controller_file.py")
# What plays read, and no other file.
_READ_BY_PLAYS = ("roles/", "playbooks/", "inventories/", "site.yml", "meta/")
# Reads all of the host library.
_LIBRARY = "plugins/plugin_utils/host_library.py"
# Distances in imports: of a test that reads files from what changed; of what installs the host library, or plays, from each file that these can reach.
_READS, _FAR = 3, 10
# Imports what it finds in its folder.
_LISTING = ("pkgutil", "iter_modules", "import_module")


class Sources:
    """The Python files of a checkout, and what each imports."""

    def __init__(self, root: Path, library: bool = True) -> None:
        """:param library: whether what installs the host library counts as importing all of it"""
        self.root, self.library = root, library
        folders = ("plugins", *_BARE)
        self.files = {str(path.relative_to(root)) for folder in folders for path in (root / folder).rglob("*.py")}
        self._bare: dict[str, list[str]] = {}
        for file in sorted(self.files):
            if file.startswith(tuple(f"{folder}/" for folder in _BARE)):
                self._bare.setdefault(Path(file).stem, []).append(file)

    @property
    def tests(self) -> list[str]:
        """The files of the unit tests."""
        return sorted(file for file in self.files if file.startswith(_UNIT) and Path(file).name.startswith("test_"))

    def conftests(self, test: str) -> list[str]:
        """The conftest.py files that apply to a test."""
        return [file for folder in Path(test).parents if (file := str(folder / "conftest.py")) in self.files]

    @functools.cache
    def _text(self, file: str) -> str:
        return (self.root / file).read_text(encoding="utf-8")

    def reads_files(self, file: str) -> bool:
        """Whether a test or its helper finds other files of the checkout by its own path, or by a helper's ROOT."""
        return file.startswith(_TESTS) and re.search(r"\b(__file__|ROOT)\b", self._text(file)) is not None

    def _module(self, dotted: str) -> Iterator[str]:
        """The files that an import of O(dotted), a path with dots under the checkout, executes."""
        parts = dotted.split(".")
        for count in range(1, len(parts) + 1):
            path = "/".join(parts[:count])
            yield from (file for file in (f"{path}.py", f"{path}/__init__.py") if file in self.files)

    @functools.cache
    def imports(self, file: str) -> frozenset[str]:
        """The files that this one imports itself."""
        text, found = self._text(file), set[str]()
        for node in ast.walk(ast.parse(text)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                if node.level:
                    package = ".".join(Path(file).parts[:-node.level])
                    module = f"{_PREFIX}{package}.{module}".rstrip(".")
                names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                names = [argument.value for argument in node.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(_PREFIX):
                names = [node.value]
            for name in names:
                found.update(self._module(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else self._bare.get(name.split(".")[0], ()))
        if file.startswith("plugins/") and any(word in text for word in _LISTING):
            folder = f"{Path(file).parent}/"
            found.update(other for other in self.files if other.startswith(folder))
        if file == _PLAYS:
            found.update(other for other in self.files if other.startswith(_PLUGINS))
        if self.library and file == _LIBRARY:
            found.update(other for other in self.files if other.startswith("plugins/module_utils/"))
        return frozenset(found - {file})

    @functools.cache
    def needs(self, test: str) -> dict[str, int]:
        """The files that a test executes: itself, its conftest.py files, and all that they import, each with its distance from the test."""
        found: dict[str, int] = {}
        waiting = [(0, file) for file in (test, *self.conftests(test))]
        while waiting:
            distance, file = heapq.heappop(waiting)
            if file not in found:
                found[file] = distance
                step = _FAR if file in (_LIBRARY, _PLAYS) else 1
                for other in self.imports(file):
                    heapq.heappush(waiting, (distance + step, other))
        return found


def affected(sources: Sources, paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """The files of unit tests that the changed O(paths) can break, the nearest first, and those that they cannot.

    Near is a test that imports what changed itself; far is one that reads files, installs the host library, or plays.
    """
    tests = set(sources.tests)
    changed = set(paths)
    python = changed & sources.files
    # A deleted module has no imports left to follow.
    gone = any(path.endswith(".py") and path.startswith(("plugins/", _UNIT)) for path in changed - sources.files)
    if gone or any(path.startswith(_SHARED) for path in changed):
        return sorted(tests), []
    # The plan's fixtures read these; a test that reads others does so itself.
    data = any(path.startswith("roles/plan/files/") or re.match(r"roles/[^/]+/defaults/", path) for path in changed)
    run: dict[str, int] = {}
    for test in tests:
        needs = sources.needs(test)
        reading = {file for file in needs if sources.reads_files(file) and file != _FIRST}
        if _PLAYS in needs and not any(path.startswith(_READ_BY_PLAYS) for path in changed):
            reading = set()
        if needs.keys() & python:
            run[test] = min(needs[file] for file in needs.keys() & python)
        elif reading if data else {file for file in reading if Path(file).name != "conftest.py"}:
            run[test] = _READS
    return sorted(run, key=lambda test: (run[test], test)), sorted(tests - run.keys())


def main() -> int:
    run, left = affected(Sources(Path(__file__).resolve().parents[2]), sys.argv[1:])
    print("\n".join([*(f"run {test}" for test in run), *(f"leave {test}" for test in left)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
