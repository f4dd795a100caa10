# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a server may say of files: whatever passes is a path inside a folder, one word of a command line, and one line of a configuration."""

from __future__ import annotations

import os
import posixpath

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _hub_answers as answers
from generated import examples
from hypothesis import given, settings, strategies as st

SHA = "0" * 64
NAMES = [
    "config.json", "2_Dense/pytorch_model.bin", "model-00001-of-00002.safetensors", "a b/ü.json", ".gitattributes", "x..y", "a.partial", "Modell (1).txt",
]
BAD = [
    "", "/etc/passwd", "../evil", "a/../../evil", "a/..", "./a", "a/.", "a//b", "a/", "a\\b", "-x", "--help", "a/-x", "~root/x", "a\nproxy = x", "a\rb", "a\0b",
    "a\tb", "\x1b[31m", "a\u2028b", "\ud800", "x" * 241, "ü" * 121, "/".join(["d" * 100] * 11), ".cache/huggingface/x", ".git/config", ".cache",
    None, 5, True, [], {}, b"a", 1.5,
]


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    """As repositories have them."""
    assert answers.path(name) == name


@pytest.mark.parametrize("name", BAD)
def test_names_that_are_none(name: Any) -> None:
    """Refused in one printable line, which is not longer for a long name."""
    with pytest.raises(answers.BadAnswer) as caught:
        answers.path(name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 250


# Letters that mean something to somebody, more often than chance would bring them.
TEXT = st.one_of(st.text(), st.text(alphabet="ab./\\-~\n\r\0 =\"'$`\u202e", max_size=40), st.lists(st.sampled_from(["..", ".", "", "a", "-", "b c"])).map("/".join))


@settings(max_examples=examples(60), deadline=None)
@given(TEXT)
def test_whatever_passes_stays_where_it_belongs(name: str) -> None:
    """Below the folder, on its line, and no option."""
    try:
        path = answers.path(name)
    except answers.BadAnswer:
        return
    whole = posixpath.normpath(posixpath.join("/srv/models", path))
    assert whole == f"/srv/models/{path}" and os.path.commonpath(["/srv/models", whole]) == "/srv/models"
    assert path.isprintable() and not path.startswith("-") and "\\" not in path and len(path.encode()) <= answers.MAX_PATH


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.sampled_from([SHA, "0" * 40])),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.one_of(st.sampled_from(["path", "size", "sha256", "git_sha1"]), st.text()), inner)), max_leaves=20,
)
ENTRY = st.fixed_dictionaries({}, optional={"path": st.one_of(TEXT, JSON), "size": st.one_of(st.integers(), JSON), "sha256": JSON, "git_sha1": JSON})


@settings(max_examples=examples(60), deadline=None)
@given(st.one_of(JSON, st.lists(ENTRY)))
def test_whatever_is_answered(value: Any) -> None:
    """Nothing but files, or an error of ours."""
    try:
        found = answers.files(value)
    except answers.BadAnswer as error:
        assert str(error).isprintable() and len(str(error)) < 500
        return
    for file in found:
        assert set(file) <= {"path", "size", "sha256", "git_sha1"} and type(file["size"]) is int and 0 <= file["size"] <= answers.MAX_SIZE
    assert len({file["path"] for file in found}) == len(found)


@pytest.mark.parametrize("size", [-1, True, "5", 1.0, None, 2**50 + 1, 10**400])
def test_sizes_that_are_none(size: Any) -> None:
    """A number of bytes is a whole number, and not a wish."""
    with pytest.raises(answers.BadAnswer):
        answers.size(size)


@pytest.mark.parametrize("commit", ["main", "", None, "G" * 40, "0" * 39, "0" * 41, "../" + "0" * 37, 5, "0" * 39 + "\n", "A" * 40])
def test_commits_that_are_none(commit: Any) -> None:
    """A commit becomes part of addresses and paths."""
    with pytest.raises(answers.BadAnswer):
        answers.commit(commit)


def file(path: str, **keys: Any) -> dict[str, Any]:
    """A file as it is to be fetched."""
    return {"path": path, "size": 1, "sha256": SHA, **keys}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([file("a"), file("b"), file("a")], "'a' is listed twice"),
        ([file("a/b/c"), file("a/b")], "'a/b' is both a file and a folder"),
        ([file("a", sha256="0" * 63)], "is not a sha256"),
        ([file("a", sha256=None)], "has no hash"),
        ([file("a", sha256=None, git_sha1="x" * 40)], "is not a git_sha1"),
        ([file(str(number), size=2**50) for number in range(9)], "larger than"),
        ([file("a")] * (answers.MAX_FILES + 1), "more than"),
        ({"a": 1}, "not a list of files"),
    ],
)
def test_files_in_each_others_way(files: Any, says: str) -> None:
    """And hashes that are none."""
    with pytest.raises(answers.BadAnswer, match=says):
        answers.files(files)
