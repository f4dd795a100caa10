# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of models in docs/models.md says what the catalogue says."""

from __future__ import annotations

from typing import Any

import model_docs
import pytest

ENTRY: dict[str, Any] = {
    "repo": "me/mine",
    "bytes": 16_400_000_000,
    "min_vllm": "0.9.1",
    "thinking": "never",
    "architecture": {"dtype": "bf16", "max_position_embeddings": 32768},
}


def test_the_table_is_up_to_date() -> None:
    """A difference means: run C(make docs) and commit what it wrote."""
    current = model_docs.DOCUMENT.read_text(encoding="utf-8")
    assert model_docs.BEGIN in current and model_docs.END in current
    assert model_docs.wanted(current) == current, "run make docs"


def test_every_model_has_a_row() -> None:
    """Those that are not served as well."""
    table = model_docs.table(model_docs.families())
    names = [name for family in model_docs.families() for name in family["models"]]
    assert len(table.splitlines()) == len(names) + 4
    assert all(f"| `{name}`" in table for name in names)


@pytest.mark.parametrize(
    ("more", "row"),
    [
        ({}, "| `mine`<br>me/mine | 16.4 GB BF16 | 32768 | never | none | none | 0.9.1 |  |"),
        (
            {"notes": "Set chat_template: <its path>."},
            "| `mine`<br>me/mine | 16.4 GB BF16 | 32768 | never | needs a template | none | 0.9.1 |  |",
        ),
        ({"task": "rerank", "thinking": ""}, "| `mine`<br>me/mine | 16.4 GB BF16 | 32768 | rerank |  |  | 0.9.1 |  |"),
        (
            {
                "license": {"gated": True},
                "arguments": {"tool_call_parser": "hermes", "reasoning_parser": "qwen3"},
                "profiles": {"1xh100": {}, "2xa100": {}},
            },
            "| `mine`<br>me/mine, gated | 16.4 GB BF16 | 32768 | never | `hermes` | `qwen3` | 0.9.1 | `1xh100` `2xa100` |",
        ),
        ({"unsupported": "it fails; take another"}, "| `mine` | not served: it fails; take another | | | | | | |"),
    ],
)
def test_row(more: dict[str, Any], row: str) -> None:
    """One model is one row."""
    assert model_docs.row("mine", {**ENTRY, **more}) == row


def test_a_bare_entry_has_a_row() -> None:
    """What the entry does not state stays empty."""
    assert model_docs.row("mine", {"repo": "me/mine"}) == "| `mine`<br>me/mine |  |  |  |  |  |  |  |"
