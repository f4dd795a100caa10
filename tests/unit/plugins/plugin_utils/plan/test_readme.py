# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users may write, and the README of the role plan: each key of a service and of an entry, and each name for C(plan_accept)."""

from __future__ import annotations

import re

from pathlib import Path

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import catalogue, services
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import acceptable
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.tables import Tables

README = Path(__file__).resolve().parents[5] / "roles" / "plan" / "README.md"


def section(title: str) -> str:
    """The text from a heading to the next one."""
    return re.split(r"^#+ ", README.read_text(encoding="utf-8").split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> set[str]:
    """The words in code of the first cells of a table."""
    return {word for line in text.splitlines() if line.startswith("| `") for word in re.findall(r"`([^`]+)`", line.split("|")[1])}


def test_keys_of_a_service() -> None:
    example = section("A service").split("```yaml\n", 1)[1].split("```", 1)[0]
    assert set(re.findall(r"^[ -]{4}(\w+):", example, re.MULTILINE)) == set(services.KEYS)


def test_keys_of_an_entry() -> None:
    assert first_cells(section("A catalogue entry")) >= set(catalogue.KEYS)


def test_names_of_accepted_findings(tables: Tables) -> None:
    assert first_cells(section("Accepting findings")) == set(acceptable(tables))
