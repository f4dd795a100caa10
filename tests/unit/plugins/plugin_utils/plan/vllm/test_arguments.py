# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Arguments as words of a command line."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import InvalidValue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm import arguments

WORDS: list[tuple[Any, list[str]]] = [
    (5, ["--a-flag=5"]),
    (0.9, ["--a-flag=0.9"]),
    ("text with spaces", ["--a-flag=text with spaces"]),
    ("", ["--a-flag="]),
    ("-1", ["--a-flag=-1"]),
    (True, ["--a-flag"]),
    (False, ["--no-a-flag"]),
    (["a", 2], ["--a-flag", "a", "2"]),
    ([{"name": "x"}], ["--a-flag", '{"name":"x"}']),
    ({"b": [1, None], "a": True}, ['--a-flag={"b":[1,null],"a":true}']),
]

REFUSED: list[Any] = ["a\nb", "a" * 8193, None, 10**18, float("inf"), [], [True], [None], [["a"]], ["--flag"], {"a": float("nan")}, {"a": object()}, object()]


@pytest.mark.parametrize(("value", "words"), WORDS)
def test_words(value: Any, words: list[str]) -> None:
    """Each kind of value has one way to stand on a command line."""
    arguments.check_value(value)
    assert arguments.to_argv({"a_flag": value}) == words


@pytest.mark.parametrize("value", REFUSED)
def test_refused(value: Any) -> None:
    """What has none is refused."""
    with pytest.raises(InvalidValue):
        arguments.check_value(value)


@pytest.mark.parametrize(("value", "size"), [(1, 1), ("8", 8), (0, None), (-1, None), (True, None), ("eight", None), (1.0, None), (None, None)])
def test_sizes(value: Any, size: int | None) -> None:
    """Parallel sizes are positive whole numbers."""
    assert arguments.size({"tensor_parallel_size": value}, "tensor_parallel_size") == size


def test_words_of_several_arguments() -> None:
    """In the order given, lists among them."""
    assert arguments.to_argv({"a": 1, "b": ["x"], "c": True, "d": ["y"]}) == ["--a=1", "--b", "x", "--c", "--d", "y"]


@pytest.mark.parametrize(("value", "number"), [(0, 0), ("600", 600), (-1, None), (True, None), ("", None), (0.5, None), ("1" * 6, None)])
def test_numbers(value: Any, number: int | None) -> None:
    """Numbers may be text."""
    assert arguments.number({"a": value}, "a") == number
    assert arguments.number({}, "a") is None


def test_size_not_given() -> None:
    """Without a size there is one rank."""
    assert arguments.size({}, "tensor_parallel_size") == 1
