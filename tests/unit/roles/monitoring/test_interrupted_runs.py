# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of the role's tasks, by which a run that fails or is killed leaves nothing open, and nothing that the next run would not complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

TASKS = Path(__file__).resolve().parents[4] / "roles" / "monitoring" / "tasks"


def tasks(name: str) -> Iterator[dict[str, Any]]:
    """The tasks of a file and of its blocks, in their order."""
    rows = yaml.safe_load((TASKS / f"{name}.yml").read_text(encoding="utf-8"))
    for task in rows:
        yield from task.get("block", [task])


def included(name: str) -> list[str]:
    return [task["ansible.builtin.include_tasks"].removesuffix(".yml") for task in tasks(name) if "ansible.builtin.include_tasks" in task]


def test_arguments_are_there_before_their_programs() -> None:
    """A package enables its unit, and the next boot would start it on all addresses."""
    for name in ("server", "node_exporter"):
        order = included(name)
        assert order.index("drop_ins") < order.index("packages")


def test_packages_are_recorded_before_they_are_installed() -> None:
    modules = [next(key for key in task if key.startswith("ansible.builtin.")) for task in tasks("packages")]
    assert modules.index("ansible.builtin.lineinfile") < modules.index("ansible.builtin.apt")


def test_nothing_depends_on_what_this_run_has_changed() -> None:
    """A run that was killed after a change would leave the program as it was, for ever."""
    for name in ("server_service", "node_exporter", "restore"):
        for task in tasks(name):
            assert "changed" not in str(task.get("when", "")) and "is changed" not in str(task), f"{name}: {task['name']}"


def test_the_collector_is_removed_after_it_has_stopped() -> None:
    """A run of it would write its files again: its timer stops first, then the service, and systemd forgets both in the end."""
    rows = list(tasks("exporter_absent"))
    [found] = [row for row in rows if "ansible.builtin.stat" in row]
    [stop] = [row for row in rows if "ansible.builtin.systemd_service" in row and "loop" in row]
    [gone] = [row for row in rows if "ansible.builtin.file" in row]
    [forget] = [row for row in rows if row.get("ansible.builtin.systemd_service") == {"daemon_reload": True}]
    assert found["loop"] == ["timer", "service"] and stop["ansible.builtin.systemd_service"]["state"] == "stopped"
    assert rows.index(stop) < rows.index(gone) < rows.index(forget) and gone["loop"][-1].endswith(".timer")
