# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings that are switched off, or that move Prometheus' files: what ran before stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

ROLE = Path(__file__).resolve().parents[4] / "roles" / "monitoring"
PROMETHEUS, ALERTMANAGER, BLACKBOX = "prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter"
OWN = "/etc/prometheus/inferops"


def evaluated(name: str, files_dir: str, packages: list[str]) -> Any:
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
    known = {"monitoring_files_dir": files_dir, "__monitoring_server_packages": packages, "__monitoring_dir": variables["__monitoring_dir"]}
    return jinja2.Environment().compile_expression(variables[name].strip().removeprefix("{{").removesuffix("}}"))(**known)


@pytest.mark.parametrize(("files_dir", "packages", "unwanted"), [
    ("", [PROMETHEUS, ALERTMANAGER, BLACKBOX], []),
    # monitoring_probe: false.
    ("", [PROMETHEUS, ALERTMANAGER], [BLACKBOX]),
    ("/srv/files", [PROMETHEUS, ALERTMANAGER, BLACKBOX], [PROMETHEUS, ALERTMANAGER, BLACKBOX]),
])
def test_programs_that_are_no_longer_wanted(files_dir: str, packages: list[str], unwanted: list[str]) -> None:
    assert evaluated("__monitoring_unwanted_programs", files_dir, packages) == unwanted


@pytest.mark.parametrize(("files_dir", "goes"), [("", False), ("/srv/files", True), (f"{OWN}-files", True), (OWN, False), (f"{OWN}/files", False)])
def test_the_former_configuration(files_dir: str, goes: bool) -> None:
    """It goes, unless the existing Prometheus reads it now."""
    assert evaluated("__monitoring_former", files_dir, []) is goes


def test_they_are_given_back() -> None:
    """Without their packages' removal, which is only for monitoring_state: absent."""
    for name in ("server", "exporter"):
        rows = yaml.safe_load((ROLE / "tasks" / f"{name}.yml").read_text(encoding="utf-8"))
        [task] = [row for row in rows if row.get("ansible.builtin.include_tasks") == "unwanted.yml"]
        assert task["vars"]["__monitoring_unwanted"]
    [given] = yaml.safe_load((ROLE / "tasks" / "unwanted.yml").read_text(encoding="utf-8"))
    assert given["inferops.gpu.monitoring_program"]["state"] == "restored"
