# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The systems that the collection is for: every page says the same as the plan's table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", ["README.md", "docs/host-requirements.md"])
def test_pages_list_the_systems_of_the_plan(page: str) -> None:
    systems = yaml.safe_load((ROOT / "roles/plan/files/platforms.yml").read_text(encoding="utf-8"))["systems"]
    text = (ROOT / page).read_text(encoding="utf-8")
    text = text[text.index("## Requirements"):] if page == "README.md" else text
    for system, versions in systems.items():
        match = re.search(rf"{system.capitalize()} (?:\| )?((?:[\d.]+(?:, | or )?)+)", text)
        assert match and re.findall(r"\d[\d.]*\d", match[1]) == list(versions)
