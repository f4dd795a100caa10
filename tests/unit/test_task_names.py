# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plays, tasks, blocks and handlers are named as Ansible's guides have it: a verb in the imperative, then its object."""

from __future__ import annotations

import re

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from role_specs import ROOT, load

FOLDERS = ("roles/*/tasks", "roles/*/handlers", "playbooks", "playbooks/tasks", "lab/tasks", "molecule/*", "tests/lab/*")
FILES = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.yml") if path.name != "molecule.yml") + [ROOT / "site.yml"]

# A verb that is missing here is added here, if it says what a module does. "Say", "See", "Take", "Give", "Let" and "Prove" do not.
VERBS = frozenset(
    "Add Build Check Close Collect Compare Complete Configure Confirm Connect Copy Create Deploy Determine Diagnose Disable Distribute Download End Export "
    "Fail Find Flush Follow Gather Hold Install Keep Link List Look Open Prepare Prune Query Read Reboot Record Redirect Reload Remove Report Request Resolve Restart Restore Roll "
    "Run Save Set Share Show Skip Start Stop Update Verify Wait Write".split()
)
# What stands for an object that the name should say.
PRONOUNS = frozenset({"it", "them", "those", "what"})


def named(document: Any) -> Iterator[dict[str, Any]]:
    """Plays and tasks of a playbook or a file of tasks, blocks and what is in them included. A mapping at the top has neither."""
    for entry in document if isinstance(document, list) else []:
        yield entry
        for part in ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from named(entry.get(part))


def names(path: Path) -> list[str]:
    """The names in O(path); the empty string where there is none."""
    return [entry.get("name", "") for entry in named(load(path)) if not set(entry) <= {"ansible.builtin.import_playbook"}]


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prefix(path: Path) -> str:
    """What the names of this file begin with: a file of tasks that others include says which one it is."""
    return f"{path.stem} | " if "tasks" in path.relative_to(ROOT).parts and path.name != "main.yml" else ""


@pytest.mark.parametrize("path", FILES, ids=label)
def test_names_are_imperative(path: Path) -> None:
    """Prefix of the file, a verb, an object; and no sentence of more than 14 words."""
    bad = []
    for name in names(path):
        text = name.removeprefix(prefix(path))
        words = re.findall(r"[\w'.-]+", text)
        good = name.startswith(prefix(path)) and len(words) > 1 and words[0] in VERBS and not PRONOUNS & set(words[:3]) and len(words) <= 14
        bad += [] if good else [name]
    assert bad == []


def test_files_are_found() -> None:
    """Guards the list above: a moved folder must not turn the test into none."""
    assert len(FILES) > 60 and sum(len(names(path)) for path in FILES) > 300
