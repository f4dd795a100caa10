# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue: what users add, and how models are found. What is shipped: test_catalogue_entries.py."""

from __future__ import annotations

import copy

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.catalogue import Catalogue, built_in


def test_find(catalogue: Catalogue) -> None:
    """By name, by the repository of an entry, by any repository id; nothing else."""
    by_name = catalogue.find("qwen3-235b-a22b-fp8")
    assert by_name is not None and catalogue.find("Qwen/Qwen3-235B-A22B-FP8") is by_name
    bare = catalogue.find("someone/model")
    assert bare is not None and (bare.repo, bare.revision, bare.bytes, bare.arguments) == ("someone/model", "main", None, {})
    for wrong in ("qwen3", "", "a/b/c", "a/..", "org/na--me"):
        assert catalogue.find(wrong) is None


def test_a_name_goes_before_a_repository(catalogue: Catalogue) -> None:
    """A user's entry may be named like any repository."""
    own, errors = catalogue.with_own("gpu1", {"Qwen/Qwen3-235B-A22B": {"repo": "mirror/qwen"}})
    found = own.find("Qwen/Qwen3-235B-A22B")
    assert errors == [] and found is not None and found.repo == "mirror/qwen"


def test_all_errors_of_an_entry(catalogue: Catalogue) -> None:
    """One does not hide the other."""
    own = {"a": {"repo": "a/b", "bytes": 0, "environment": {"A B": 1}}, "b": {"repo": 5}}
    assert [error.key for error in catalogue.with_own("gpu1", own)[1]] == [
        "plan_catalogue.a.bytes",
        "plan_catalogue.a.environment.A B",
        "plan_catalogue.b.repo",
    ]


def test_own_entries(catalogue: Catalogue) -> None:
    """Users' entries are added to the shipped ones, which stay as they are."""
    own, errors = catalogue.with_own("gpu1", {"mine": {"repo": "me/mine", "bytes": 5}, "qwen3-235b-a22b": {"repo": "me/other"}})
    assert errors == []
    assert own.entries["mine"].bytes == 5 and own.entries["qwen3-235b-a22b"].repo == "me/other"
    assert "mine" not in catalogue.entries and catalogue.entries["qwen3-235b-a22b"].repo == "Qwen/Qwen3-235B-A22B"
    assert catalogue.with_own("gpu1", {}) == (catalogue, [])


WRONG: list[tuple[Any, str]] = [
    ([], "plan_catalogue"),
    ("text", "plan_catalogue"),
    (None, "plan_catalogue"),
    ({"mine": []}, "plan_catalogue.mine"),
    ({"mine": {}}, "plan_catalogue.mine.repo"),
    ({"mine": {"repo": "nothing"}}, "plan_catalogue.mine.repo"),
    ({"mine": {"repo": "a/b", "revison": "main"}}, "plan_catalogue.mine.revison"),
    ({"mine": {"repo": "a/b", "bytes": 0}}, "plan_catalogue.mine.bytes"),
    ({"mine": {"repo": "a/b", "bytes": "many"}}, "plan_catalogue.mine.bytes"),
    ({"mine": {"repo": "a/b", "min_vllm": 0.9}}, "plan_catalogue.mine.min_vllm"),
    ({"mine": {"repo": "a/b", "thinking": "sometimes"}}, "plan_catalogue.mine.thinking"),
    ({"mine": {"repo": "a/b", "thinking": []}}, "plan_catalogue.mine.thinking"),
    ({"mine": {"repo": "a/b", "environment": {"CUDA_VISIBLE_DEVICES": "0"}}}, "plan_catalogue.mine.environment.CUDA_VISIBLE_DEVICES"),
]


@pytest.mark.parametrize(("own", "key"), WRONG)
def test_wrong_entries(catalogue: Catalogue, own: Any, key: str) -> None:
    """Each names its place."""
    assert [error.key for error in catalogue.with_own("gpu1", own)[1]] == [key]


def test_a_wrong_shipped_catalogue_is_found(families: list[dict[str, Any]]) -> None:
    """A wrong or doubled entry of the collection's own is an error, not an error of the inventory."""
    wrong = copy.deepcopy(families[0])
    next(iter(wrong["models"].values()))["repo"] = 5
    for broken in ([wrong], [families[0], families[0]]):
        with pytest.raises(ValueError, match="catalogue file of"):
            built_in(broken)
