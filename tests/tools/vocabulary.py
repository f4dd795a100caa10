#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds invented terms that this project has replaced by the field's terms (tests/unit/vocabulary.yml).

    python tests/tools/vocabulary.py [PATH...]    prints every hit, with the term to use; with paths, only in these files
"""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
WORDS = ROOT / "tests" / "unit" / "vocabulary.yml"
SUFFIXES = (".cfg", ".j2", ".md", ".py", ".sh", ".yml")
# The list itself and its tests. The changelog keeps the words of published releases.
EXEMPT = ("tests/unit/vocabulary.yml", "tests/unit/test_vocabulary.py", "changelogs/changelog.yaml")


@dataclass(frozen=True)
class Word:
    """An old word or phrase as a regular expression, the term to use instead, and globs of the paths that may contain it."""

    old: re.Pattern[str]
    write: str
    allowed: tuple[str, ...] = ()
    not_yet: tuple[str, ...] = ()

    def may_stand_in(self, path: str) -> bool:
        return any(fnmatch.fnmatchcase(path, glob) for glob in (*self.allowed, *self.not_yet))


@dataclass(frozen=True)
class Hit:
    """An old word in a file. C(line) counts from 1."""

    path: str
    line: int
    found: str
    word: Word

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found!r}: write {self.word.write}"


def parse(data: Iterable[dict[str, Any]]) -> list[Word]:
    """The words of the list.

    :raises TypeError: for an unknown key
    :raises re.error: for an invalid expression
    """
    globs = ("allowed", "not_yet")
    return [Word(**{**each, "old": re.compile(each["old"]), **{key: tuple(each.get(key, ())) for key in globs}}) for each in data]


def listed() -> list[Word]:
    """The words of tests/unit/vocabulary.yml."""
    return parse(yaml.safe_load(WORDS.read_text(encoding="utf-8")))


def tracked() -> list[str]:
    """Paths of the project's text files that git tracks.

    :raises RuntimeError: outside of a git checkout
    """
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    paths = (path for path in done.stdout.split("\0") if path.endswith(SUFFIXES) and path not in EXEMPT)
    return sorted(path for path in paths if (ROOT / path).is_file() and not (ROOT / path).is_symlink())


def hits(vocabulary: Iterable[Word], path: str, text: str) -> Iterator[Hit]:
    """Every old word of a text, allowed or not. The name of the file counts as its line 0."""
    for word in vocabulary:
        for match in word.old.finditer(path):
            yield Hit(path, 0, match[0], word)
        for match in word.old.finditer(text):
            yield Hit(path, text.count("\n", 0, match.start()) + 1, match[0], word)


def all_hits(vocabulary: list[Word], paths: Iterable[str]) -> list[Hit]:
    """Every old word of these files."""
    return [hit for path in paths for hit in hits(vocabulary, path, (ROOT / path).read_text(encoding="utf-8"))]


def main(arguments: list[str]) -> int:
    """Exit status: 1 for a hit in a path where the word is not allowed. In named files C(not_yet) does not count as allowed."""
    found = all_hits(listed(), arguments or tracked())
    named = [hit for hit in found if not any(fnmatch.fnmatchcase(hit.path, glob) for glob in hit.word.allowed)]
    shown = named if arguments else [hit for hit in found if not hit.word.may_stand_in(hit.path)]
    print("\n".join(map(str, shown)) if shown else "no old word")
    return 1 if shown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
