# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue: what is shipped, what users add, and how models are found."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils._plan import arguments, values
from ansible_collections.inferops.gpu.plugins.module_utils._plan.catalogue import Catalogue, built_in
from ansible_collections.inferops.gpu.plugins.module_utils._plan.flags import FlagTable, flag
from ansible_collections.inferops.gpu.plugins.module_utils._plan.versions import parse

FAMILY = {
    "qwen3-235b-a22b": ("Qwen/Qwen3-235B-A22B", "qwen3"),
    "qwen3-235b-a22b-fp8": ("Qwen/Qwen3-235B-A22B-FP8", "qwen3"),
    "qwen3-235b-a22b-instruct-2507": ("Qwen/Qwen3-235B-A22B-Instruct-2507", None),
    "qwen3-235b-a22b-instruct-2507-fp8": ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", None),
    "qwen3-235b-a22b-thinking-2507": ("Qwen/Qwen3-235B-A22B-Thinking-2507", "qwen3"),
    "qwen3-235b-a22b-thinking-2507-fp8": ("Qwen/Qwen3-235B-A22B-Thinking-2507-FP8", "qwen3"),
}


@pytest.mark.parametrize(("name", "repo", "reasoning_parser"), [(name, *rest) for name, rest in FAMILY.items()])
def test_qwen3_235b(catalogue: Catalogue, name: str, repo: str, reasoning_parser: str | None) -> None:
    """The whole family with its parsers; the Instruct models must not have a reasoning parser."""
    entry = catalogue.entries[name]
    assert (entry.repo, entry.arguments["tool_call_parser"], entry.arguments.get("reasoning_parser")) == (repo, "hermes", reasoning_parser)
    assert (entry.thinking == "never") == (reasoning_parser is None)


def test_w8a8_is_refused_with_its_reason(catalogue: Catalogue) -> None:
    """The entry says so instead of promising it."""
    assert "Ascend" in catalogue.entries["qwen3-235b-a22b-w8a8"].unsupported


def test_every_entry_holds_what_the_plan_needs(catalogue: Catalogue, flags: FlagTable) -> None:
    """Pinned, sized, sourced, and with arguments that its oldest vLLM and the newest known one have."""
    newest = parse("0.33.0")
    assert newest is not None
    for entry in catalogue.entries.values():
        assert entry.sources, entry.name
        if entry.unsupported:
            continue
        assert values.COMMIT.fullmatch(entry.revision), entry.name
        assert entry.bytes and entry.min_vllm and entry.thinking, entry.name
        for version in (entry.min_vllm, newest):
            for key, value in entry.arguments.items():
                arguments.check_value(value)
                assert flags.has("flags", flag(key), version), (entry.name, key, version.text)
            assert flags.has("tool_call_parsers", entry.arguments["tool_call_parser"], version)
            if "reasoning_parser" in entry.arguments:
                assert flags.has("reasoning_parsers", entry.arguments["reasoning_parser"], version)


def test_sizes_follow_from_the_architecture(catalogue: Catalogue) -> None:
    """Bytes on disk: two a parameter in BF16, one and a little in FP8."""
    for entry in catalogue.entries.values():
        if entry.bytes:
            parameters = entry.architecture.parameters
            assert parameters is not None
            low, high = (2.0, 2.01) if entry.architecture.dtype == "bf16" else (1.0, 1.03)
            assert low * parameters <= entry.bytes <= high * parameters, entry.name


def test_find(catalogue: Catalogue) -> None:
    """By name, by the repository of an entry, by any repository id; nothing else."""
    by_name = catalogue.find("qwen3-235b-a22b-fp8")
    assert by_name is not None and catalogue.find("Qwen/Qwen3-235B-A22B-FP8") is by_name
    bare = catalogue.find("someone/model")
    assert bare is not None and (bare.repo, bare.revision, bare.bytes, bare.arguments) == ("someone/model", "main", None, {})
    for wrong in ("qwen3", "", "a/b/c", "a/..", "org/na--me"):
        assert catalogue.find(wrong) is None


def test_own_entries(catalogue: Catalogue) -> None:
    """Users' entries are laid over the shipped ones, which stay as they are."""
    own, faults = catalogue.with_own("gpu1", {"mine": {"repo": "me/mine", "bytes": 5}, "qwen3-235b-a22b": {"repo": "me/other"}})
    assert faults == []
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
    assert [fault.key for fault in catalogue.with_own("gpu1", own)[1]] == [key]


def test_a_wrong_shipped_catalogue_is_found(families: list[dict[str, Any]]) -> None:
    """A wrong or doubled entry of the collection's own is an error, not a fault of the inventory."""
    wrong = copy.deepcopy(families[0])
    next(iter(wrong["models"].values()))["repo"] = 5
    for broken in ([wrong], [families[0], families[0]]):
        with pytest.raises(ValueError, match="catalogue of"):
            built_in(broken)
