# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directory of a textfile collector, which may be another exporter's: it exists, and the collector can write there, which a run tries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

ROLE = Path(__file__).resolve().parents[4] / "roles" / "monitoring"
DEFAULT = "/var/lib/prometheus/node-exporter"


def tasks() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROLE / "tasks" / "exporter.yml").read_text(encoding="utf-8"))
    return found


def test_the_default_is_the_packages() -> None:
    variables, defaults = (yaml.safe_load((ROLE / name / "main.yml").read_text(encoding="utf-8")) for name in ("vars", "defaults"))
    assert variables["__monitoring_textfile_default"] == defaults["monitoring_textfile_dir"] == DEFAULT


@pytest.mark.parametrize(("found", "own", "path", "passes"), [
    ({"exists": False}, True, DEFAULT, True),
    ({"exists": False}, False, DEFAULT, False),
    ({"exists": False}, True, "/srv/textfile", False),
    ({"exists": True, "isdir": False}, False, "/srv/textfile", False),
    ({"exists": True, "isdir": True}, False, "/srv/textfile", True),
])
def test_a_directory_that_is_missing(found: dict[str, bool], own: bool, path: str, passes: bool) -> None:
    """It is refused before anything changes; only the package's own may come with it."""
    names = [task["name"] for task in tasks()]
    [task] = [task for task in tasks() if "monitoring_textfile_dir" in str(task.get("ansible.builtin.assert", {}).get("that"))]
    assert names.index(task["name"]) < names.index("exporter | Install node exporter")
    environment = jinja2.Environment()
    environment.filters["bool"] = bool
    known = {
        "__monitoring_textfile": {"stat": found}, "monitoring_node_exporter": own, "monitoring_textfile_dir": path, "__monitoring_textfile_default": DEFAULT,
    }
    assert environment.compile_expression(task["ansible.builtin.assert"]["that"])(**known) is passes


@pytest.mark.parametrize(("found", "overrides"), [({"uid": 0}, False), ({"uid": 998}, True), ({}, False)])
def test_a_directory_of_another_account(found: dict[str, int], overrides: bool) -> None:
    """Root without CAP_DAC_OVERRIDE cannot write there; nowhere else does it need that right."""
    text = (ROLE / "templates" / "metrics.service.j2").read_text(encoding="utf-8")
    unit = jinja2.Environment().from_string(text).render(__monitoring_textfile={"stat": found}, plan_host={"paths": {}}, monitoring_textfile_dir="/t")
    [line] = [line for line in unit.splitlines() if line.startswith("CapabilityBoundingSet=")]
    assert ("CAP_DAC_OVERRIDE" in line.split()) is overrides and "CAP_SYSLOG" in line


def test_the_collector_is_tried() -> None:
    """After its timer is started, so that a unit that cannot write fails the run."""
    task = tasks()[-1]
    assert task["block"][0]["ansible.builtin.systemd_service"] == {"name": "{{ __monitoring_collector }}.service", "state": "started"}
    assert task["rescue"][0]["ansible.builtin.fail"]["msg"]
