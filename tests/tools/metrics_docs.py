#!/usr/bin/env python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the table of the collector's metrics into docs/monitoring.md. With --check it only says whether that would change."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "monitoring.md"
FAMILIES = ROOT / "plugins" / "module_utils" / "metrics" / "families.py"
BEGIN, END = "<!-- metrics: begin -->", "<!-- metrics: end -->"


def table() -> str:
    """The metrics as rows of Markdown."""
    spec = importlib.util.spec_from_file_location("families", FAMILIES)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lines = ["| metric | labels | meaning |", "|---|---|---|"]
    for name, family in module.FAMILIES.items():
        labels = ", ".join(f"`{label}`" for label in family.labels.split())
        lines.append(f"| `{name}` | {labels} | {family.help} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with the present table."""
    before, _begin, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    wanted = page(text)
    if given.check:
        if text != wanted:
            print("docs/monitoring.md is out of date: run make docs")
        return int(text != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
