# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""CONTRIBUTING.md works when it is followed word for word: its catalogue entry is one, its check is found, its example shows the check."""

from __future__ import annotations

import re
import textwrap
import types

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan import checks, resolve as resolving
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.checks.base import checks_in
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.catalogue import Catalogue, built_in
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.tables import Tables

ROOT = Path(__file__).resolve().parents[6]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(heading: str, language: str) -> list[str]:
    """Code blocks of a language under a heading."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [textwrap.dedent(found) for found in re.findall(rf"^ *```{language}\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)]


def module(name: str, code: str) -> types.ModuleType:
    """The code as a module beside the checks, so that its relative imports lead where they would."""
    made = types.ModuleType(f"{checks.__name__}.{name}")
    made.__package__ = checks.__name__
    exec(compile(code, name, "exec"), made.__dict__)
    return made


def test_the_entry_is_one() -> None:
    (entry,) = blocks("Add a model", "yaml")
    assert list(built_in([yaml.safe_load(entry)]).entries) == ["my-model"]


def test_the_check_finds_what_its_example_shows(
    monkeypatch: pytest.MonkeyPatch, defaults: dict[str, Any], catalogue: Catalogue, tables: Tables
) -> None:
    written, shown = blocks("Add a check", "python")
    (check,) = checks_in(module("written", written))
    (example,) = module("shown", shown).EXAMPLES
    assert example.check == check.name
    monkeypatch.setattr(resolving, "HOST_CHECKS", (*checks.HOST_CHECKS, check))
    (error,) = resolving.resolve(example.bad, defaults, catalogue, tables).errors
    assert example.says in error.fix
    assert resolving.resolve(example.good, defaults, catalogue, tables).errors == []


def test_what_it_names_is_there() -> None:
    """Files, folders, tests and targets of make."""
    paths = set(re.findall(r"`((?:\.[a-z]+|changelogs|docs|inventories|lab|playbooks|plugins|roles|scripts|tests)/[\w./-]*)`", TEXT))
    assert len(paths) > 10
    mine = {"changelogs/fragments/memory.yml"}
    assert [path for path in sorted(paths - mine) if not (ROOT / path).exists() and "_x.py" not in path] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = {word for line in re.findall(r"make ((?:[a-z-]+ ?)+)(?:`|\s+#)", TEXT) for word in line.split()}
    assert used and used <= targets, used - targets
    for name in re.findall(r"`(test_\w+)`", TEXT):
        assert any(f"def {name}(" in path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "unit").rglob("test_*.py")), name


def test_the_fragment_is_one() -> None:
    (fragment,) = blocks("Changelog", "yaml")
    sections = {name for name, _title in yaml.safe_load((ROOT / "changelogs" / "config.yaml").read_text(encoding="utf-8"))["sections"]}
    assert set(yaml.safe_load(fragment)) <= sections
