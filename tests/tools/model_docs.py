#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the table of models into docs/models.md from the catalogue.

    python tests/tools/model_docs.py            rewrite the table
    python tests/tools/model_docs.py --check    change nothing, print what differs, exit 1 if anything does
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "roles" / "plan" / "files" / "catalogue"
DOCUMENT = ROOT / "docs" / "models.md"

BEGIN = "<!-- models: begin (written by tests/tools/model_docs.py from roles/plan/files/catalogue) -->"
END = "<!-- models: end -->"
HEAD = ["| model | weights | context | thinks, or is for | tool parser | reasoning parser | vLLM from | profiles |", "|---|---|---|---|---|---|---|---|"]


def code(words: Iterator[str] | list[str]) -> str:
    """Each word as Markdown code, separated by spaces."""
    return " ".join(f"`{word}`" for word in words)


def row(name: str, entry: Mapping[str, Any]) -> str:
    """The table row of a model. For an unsupported model the second column has the reason, and the others are empty."""
    if entry.get("unsupported"):
        return f"| `{name}` | not served: {entry['unsupported']} | | | | | | |"
    arguments = entry.get("arguments", {})
    architecture = entry.get("architecture", {})
    # An entry with a repository only may have no parser although the model does not need a template.
    without = "needs a template" if "chat_template: <its path>" in entry.get("notes", "") else "none" if entry.get("thinking") else ""
    tool = code([arguments["tool_call_parser"]]) if "tool_call_parser" in arguments else without
    reasoning = code([arguments["reasoning_parser"]]) if "reasoning_parser" in arguments else "none" if entry.get("thinking") else ""
    gated = ", gated" if entry.get("license", {}).get("gated") else ""
    size = f"{entry['bytes'] / 1e9:.1f} GB" if "bytes" in entry else ""
    cells = [
        f"`{name}`<br>{entry['repo']}{gated}",
        f"{size} {architecture.get('dtype', '').upper()}".strip(),
        str(architecture.get("max_position_embeddings", "")),
        # What else than chat it is for, or how it reasons.
        entry.get("thinking", "") or entry.get("task", ""),
        tool,
        reasoning,
        entry.get("min_vllm", ""),
        code(list(entry.get("profiles", {}))),
    ]
    return f"| {' | '.join(cells)} |"


def table(families: list[Mapping[str, Any]]) -> str:
    """The table of all families, markers included."""
    rows = [row(name, entry) for family in families for name, entry in family["models"].items()]
    return "\n".join([BEGIN, *HEAD, *rows, END])


def families() -> list[Mapping[str, Any]]:
    """The contents of the catalogue's files, sorted by file name."""
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CATALOGUE.glob("*.yml"))]


def wanted(current: str) -> str:
    """The document with an up-to-date table between the markers."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _match: table(families()), current, count=1)


def main(arguments: list[str]) -> int:
    """Exit status of the command: 0, or 1 when C(--check) found a difference."""
    before = DOCUMENT.read_text(encoding="utf-8")
    after = wanted(before)
    if before == after:
        return 0
    if "--check" in arguments:
        sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), after.splitlines(True), "docs/models.md", "as the catalogue has it"))
        return 1
    DOCUMENT.write_text(after, encoding="utf-8")
    print("wrote docs/models.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
