# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tables of vLLM's flags, written from readings of its parser."""

from __future__ import annotations

import json
from typing import Any

import vllm_tables

BEFORE = {
    "about": "x",
    "versions": ["0.1.0", "0.2.0", "0.3.0"],
    "flags": {"--a": ["0.1.0", "0.3.0"], "--gone": ["0.1.0", "0.1.0"], "--gap": ["0.1.0", "0.3.0", ["0.2.0"]]},
    "tool_call_parsers": {},
    "reasoning_parsers": {},
    "environment": {"V": ["0.3.0", "0.3.0"]},
}


def reading(version: str, *options: str) -> dict[str, Any]:
    """What tests/tools/vllm_types.py prints of a version with these flags."""
    flags = {name: {"kind": "on"} for name in options}
    return {"version": version, "flags": flags, "options": list(options), "tool_call_parsers": ["p"], "reasoning_parsers": [], "environment": ["V"]}


def test_a_new_version_comes_after_the_others() -> None:
    """Spans are drawn out, with their gaps; what it lacks ends before it, and a flag may come back."""
    made = vllm_tables.with_flags(BEFORE, reading("0.10.0", "--a", "--gone", "--new"))
    assert made["versions"] == ["0.1.0", "0.2.0", "0.3.0", "0.10.0"]
    assert made["flags"] == {
        "--a": ["0.1.0", "0.10.0"],
        "--gap": ["0.1.0", "0.3.0", ["0.2.0"]],
        "--gone": ["0.1.0", "0.10.0", ["0.2.0", "0.3.0"]],
        "--new": ["0.10.0", "0.10.0"],
    }
    assert made["tool_call_parsers"] == {"p": ["0.10.0", "0.10.0"]} and made["environment"] == {"V": ["0.3.0", "0.10.0"]}


def test_a_reading_of_one_section() -> None:
    """Leaves the others as they are."""
    made = vllm_tables.with_flags(BEFORE, {"version": "0.2.0", "models": ["LlamaForCausalLM"]})
    assert made == {**BEFORE, "models": {"LlamaForCausalLM": ["0.2.0", "0.2.0"]}}
    assert vllm_tables.with_types({"versions": {}}, {"version": "0.2.0", "models": []}) == {"versions": {}}


def test_a_version_is_read_again() -> None:
    """A reading takes the place of what was there of its version, and nothing else changes."""
    made = vllm_tables.with_flags(BEFORE, reading("0.2.0", "--gap"))
    assert made["flags"] == {"--a": ["0.1.0", "0.3.0", ["0.2.0"]], "--gap": ["0.1.0", "0.3.0"], "--gone": ["0.1.0", "0.1.0"]}


def test_both_files_are_as_the_tool_writes_them() -> None:
    """Nobody wrote into them by hand; and what is written is read again as it was."""
    for name, text_of in (("vllm_types.json", vllm_tables.types_text), ("vllm_flags.json", vllm_tables.flags_text)):
        text = (vllm_tables.FILES / name).read_text(encoding="utf-8")
        table = json.loads(text)
        assert text_of(table) == text
        assert json.loads(text_of(table)) == table
