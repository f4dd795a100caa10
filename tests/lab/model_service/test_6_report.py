# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a run, and drift.yml: what was changed by hand is named, and a run of site.yml after it leaves a new report."""

from __future__ import annotations

import json
import time

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab import Play, Scenario
from testinfra.host import Host

SOMAXCONN = "net.core.somaxconn"


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "reports"


@pytest.fixture(scope="module", name="reported")
def _reported(play: Callable[..., Play], folder: Path) -> Play:
    """A run that changes nothing, and its report."""
    return play(variables={"run_report_dir": str(folder)})


@pytest.fixture(name="drift")
def _drift(reported: Play, play: Callable[..., Play], scenario: Scenario, folder: Path) -> Callable[..., Play]:
    """Runs drift.yml against the reports of the fixture before."""
    compared = replace(scenario, playbook="playbooks/drift.yml")
    return lambda **variables: play(scenario=compared, variables={"run_report_dir": str(folder), **variables})


@pytest.fixture(name="by_hand")
def _by_hand(host: Host, unit: Any, play: Callable[..., Play]) -> Iterator[None]:
    """Changes by hand: a parameter, a drop-in of the unit, and the service stopped; reverted at the end."""
    before = host.check_output("sysctl -n %s", SOMAXCONN)
    host.check_output("sysctl -w %s=128", SOMAXCONN)
    host.check_output("mkdir -p /etc/systemd/system/%s.d && printf '[Service]\\nNice=1\\n' > /etc/systemd/system/%s.d/override.conf", unit.name, unit.name)
    host.check_output("systemctl daemon-reload && systemctl stop %s", unit.name)
    yield
    host.check_output("rm -r /etc/systemd/system/%s.d && systemctl daemon-reload && sysctl -w %s=%s", unit.name, SOMAXCONN, before)
    done = play()
    assert done.status == 0, done.output


def test_a_run_that_changes_nothing_leaves_a_report(reported: Play, folder: Path, service: dict[str, Any], unit: Any) -> None:
    """It names the service, its release with the hash, the weights, the verification with its seconds, and the ports."""
    assert reported.status == 0, reported.output
    assert [counts["changed"] for counts in reported.recap.values()] == [0], reported.output
    report = json.loads((folder / "latest.json").read_text(encoding="utf-8"))
    assert report["run"]["result"] == "succeeded" and report["run"]["tasks_recorded"]
    [found] = report["hosts"].values()
    [row] = found["services"]
    assert row["service"] == service["name"] and row["state"] == "serving" and row["release"] in found["releases"]
    assert len(found["releases"][row["release"]]["lock"]) == 64 and found["releases"][row["release"]]["torch"]
    assert any(one["unchanged"] and len(one["digest"]) == 64 for one in found["weights"].values())
    # The health gate as well, if another test has restarted the service.
    assert {(one["service"], one["passed"]) for one in found["verifications"]} == {(service["name"], True)}
    [port] = [one for one in found["ports"] if one["port"] == service["port"]]
    assert port["owner"] == unit.name and port["sources"], port
    assert found["changes"] == [] and found["unread"] == {}
    page = (folder / "latest.html").read_text(encoding="utf-8")
    assert service["name"] in page and service["api_key"] not in page + json.dumps(report)


def test_nothing_differs(drift: Callable[..., Play], folder: Path) -> None:
    done = drift(drift_fail=True)
    ended = json.loads((folder / "latest.json").read_text(encoding="utf-8"))["run"]["ended"]
    assert done.status == 0 and f"nothing differs since {ended}" in done.said, done.output
    assert [counts["changed"] for counts in done.recap.values()] == [0]


@pytest.mark.usefixtures("by_hand")
def test_each_change_by_hand_is_named(drift: Callable[..., Play], unit: Any, service: dict[str, Any], tmp_path: Path) -> None:
    output = tmp_path / "drift.json"
    done = drift(drift_fail=True, drift_output=str(output))
    assert done.status != 0 and "Hosts that differ from their report: lab-gpu1." in done.said, done.output
    [compared] = json.loads(output.read_text(encoding="utf-8")).values()
    found = {(one["part"], one["item"]): (one["was"], one["now"]) for one in compared["differences"]}
    assert found["units", unit.name] == ("active, enabled", "inactive, enabled")
    assert found["sysctl", SOMAXCONN] == ("65535", "128")
    assert found["unit_files", f"/etc/systemd/system/{unit.name}.d/override.conf"][0] == "absent"
    assert [item for part, item in found if part == "ports"] == [f"tcp 0.0.0.0:{service['port']}"] and compared["unread"] == {}
    assert f"unit {unit.name}: active, enabled → inactive, enabled" in done.said


def test_a_run_that_fails_leaves_a_report(play: Callable[..., Play], folder: Path, service: dict[str, Any]) -> None:
    """With an error in the inventory: what the plan says, and the state that the run left."""
    began = time.time()
    done = play(variables={"run_report_dir": str(folder), "model_services": [{**service, "port": 22}]})
    assert done.status != 0, done.output
    assert (folder / "latest.json").stat().st_mtime >= began - 1
    report = json.loads((folder / "latest.json").read_text(encoding="utf-8"))
    [found] = report["hosts"].values()
    assert report["run"]["result"] == found["result"] == "failed"
    assert "port" in {error["key"] for error in report["errors"]} and found["state"]["units"]
