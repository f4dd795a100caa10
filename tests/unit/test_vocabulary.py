# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The project speaks the field's language: words that it once made up do not come back."""

from __future__ import annotations

import fnmatch

import pytest
import vocabulary


@pytest.fixture(scope="module", name="found")
def _found() -> list[vocabulary.Hit]:
    """Every old word of the project, allowed or not."""
    try:
        paths = vocabulary.tracked()
    except RuntimeError:
        pytest.skip("this is no git checkout")
    assert len(paths) > 500
    return vocabulary.all_hits(vocabulary.listed(), paths)


def test_no_old_word_comes_back(found: list[vocabulary.Hit]) -> None:
    """Each hit says what to write."""
    bad = [str(hit) for hit in found if not hit.word.may_stand_in(hit.path)]
    assert not bad, "\n".join(bad)


def test_exceptions_are_needed(found: list[vocabulary.Hit]) -> None:
    """A glob of C(allowed) or C(not_yet) goes once nothing in it has the word, so that the list of exceptions shrinks."""
    unneeded = [
        f"{word.old.pattern}: {glob}"
        for word in {hit.word: hit.word for hit in found} | {word: word for word in vocabulary.listed()}
        for glob in (*word.allowed, *word.not_yet)
        if not any(hit.word == word and fnmatch.fnmatchcase(hit.path, glob) for hit in found)
    ]
    assert not unneeded, "take these out of tests/unit/vocabulary.yml:\n" + "\n".join(unneeded)


def test_hits_are_found_with_their_lines() -> None:
    """In text and in names of files, and in no other word."""
    listed = vocabulary.parse([{"old": r"\bway out\b", "write": "fix"}, {"old": "shelf", "write": "export directory", "allowed": ["b/*"]}])
    text = "one\nno way out\nsubway outing\n"
    assert [str(hit) for hit in vocabulary.hits(listed, "a/shelf.py", text)] == [
        "a/shelf.py:2: 'way out': write fix",
        "a/shelf.py:0: 'shelf': write export directory",
    ]
    assert listed[1].may_stand_in("b/shelf.py") and not listed[1].may_stand_in("a/b/shelf.py")
