# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which unit tests `make check` runs for a changed file: those that import it, those that read it, and all for what all depend on."""

from __future__ import annotations

from pathlib import Path

import pytest
from affected import Sources, affected

ROOT = Path(__file__).resolve().parents[3]
SOURCES = Sources(ROOT)
EVERY = SOURCES.tests
UNIT = "tests/unit/plugins/"


@pytest.mark.parametrize(("path", "some"), [
    ("plugins/module_utils/supervisor/ranks.py", ["module_utils/supervisor/test_supervisor.py", "module_utils/test_library.py"]),
    # Found by listing its folder, through what resolves a plan.
    ("plugins/plugin_utils/plan/checks/tls.py", ["plugin_utils/plan/checks/test_checks.py", "plugin_utils/plan/host/test_tls.py", "action/test_plan_action.py"]),
    ("tests/unit/plugins/plan_runs.py", ["action/test_plan_action.py", "plugin_utils/plan/inputs/test_uncatalogued.py"]),
    # A play finds plugins by their names.
    ("plugins/filter/credentials.py", ["filter/test_credential_places.py", "plugin_utils/plan/test_users_inventories.py"]),
    ("playbooks/plan.yml", ["plugin_utils/plan/test_example_inventories.py"]),
    ("lab/mirror/hub_mirror.py", ["module_utils/fetch/test_fetch.py"]),
    ("tests/unit/plugins/plugin_utils/plan/conftest.py", ["plugin_utils/plan/models/test_memory.py"]),
    # Data of the plan's fixtures, and what tests read themselves.
    ("roles/plan/files/catalogue/qwen3.yml", ["plugin_utils/plan/models/test_memory.py", "plugin_utils/plan/test_example_inventories.py"]),
    ("roles/kernel/tasks/main.yml", ["plugin_utils/plan/test_users_inventories.py"]),
])
def test_what_a_file_reaches(path: str, some: list[str]) -> None:
    run, left = affected(SOURCES, [path])
    assert {f"{UNIT}{test}" for test in some} <= set(run) and sorted(run + left) == EVERY


@pytest.mark.parametrize(("path", "none"), [
    ("plugins/module_utils/supervisor/ranks.py", "plugin_utils/plan/models/test_memory.py"),
    ("plugins/plugin_utils/plan/checks/tls.py", "module_utils/fetch/test_fetch.py"),
    ("roles/kernel/tasks/main.yml", "plugin_utils/plan/models/test_memory.py"),
    ("docs/lab.md", "module_utils/test_masking.py"),
    ("docs/lab.md", "action/test_plan_action.py"),
    ("plugins/module_utils/supervisor/ranks.py", "plugin_utils/plan/test_users_inventories.py"),
])
def test_what_a_file_does_not_reach(path: str, none: str) -> None:
    assert f"{UNIT}{none}" in affected(SOURCES, [path])[1]


@pytest.mark.parametrize("path", ["requirements.txt", "ansible.cfg", "tests/env.sh", "tests/unit/conftest.py", "plugins/module_utils/gone.py"])
def test_what_all_depend_on(path: str) -> None:
    """A deleted module as well: what imported it is no longer to be seen."""
    assert affected(SOURCES, [path]) == (EVERY, [])


def test_tests_that_read_the_checkout_always_run() -> None:
    """Even for a file that nothing is known of: words, links and tables are everywhere."""
    run, left = affected(SOURCES, ["somewhere/else.txt"])
    assert {"tests/unit/test_vocabulary.py", "tests/unit/test_links.py", "tests/unit/test_repository.py"} <= set(run) and len(left) > 50


def test_the_nearest_come_first() -> None:
    """`make check` stops after a minute: what imports the changed file itself has run by then."""
    run, _left = affected(SOURCES, ["plugins/module_utils/supervisor/ranks.py"])
    own, reader, installer = (run.index(f"{UNIT}{test}") for test in (
        "module_utils/supervisor/test_worker.py", "plugin_utils/plan/checks/test_checks.py", "module_utils/fetch/test_fetch.py"
    ))  # fmt: skip
    assert own < reader < installer, "imports it, reads files, installs the folder that it is in"
    assert affected(SOURCES, [f"{UNIT}module_utils/test_masking.py"])[0][0] == f"{UNIT}module_utils/test_masking.py"
