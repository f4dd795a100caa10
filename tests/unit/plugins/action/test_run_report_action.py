# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plays with the real action plugins: a report of a run that succeeds, that fails and that does not reach a host; the comparison with it."""

from __future__ import annotations

import json
import subprocess

from pathlib import Path
from typing import Any

import ansible_runs
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
PARTS = "system gpus unit_files environment_files firewall firewall_rules sysctl kernel kernel_files releases weights programs ports"
STATE: dict[str, dict[str, str]] = {**{part: {} for part in PARTS.split()}, "units": {"vllm-a.service": "active, enabled"}}
DEPLOYED = {"state": STATE, "releases": {}, "weights": {}, "listeners": [], "firewall": None, "unread": {}}
# As playbooks/site.yml has it: a block, and in any case the role.
SITE: list[dict[str, Any]] = [{
    "hosts": "all", "gather_facts": False, "tasks": [{
        "block": [
            {"name": "Change gpu1", "ansible.builtin.debug": {"msg": "m"}, "changed_when": True, "when": "inventory_hostname == 'gpu1'"},
            {
                "name": "Fail on some", "ansible.builtin.fail": {"msg": "no space; http://ada:hunter22@mirror.example/"},
                "when": "inventory_hostname in failing | default([])",
            },
        ],
        "always": [
            {"name": "Set what the module would return", "ansible.builtin.set_fact": {"run_report_deployed": DEPLOYED}},
            {
                "name": "Write", "inferops.gpu.run_report": {"folder": "{{ run_report_dir }}", "keep": 2, "include_report": True}, "run_once": True,
                "register": "written",
            },
            {"name": "Show", "ansible.builtin.debug": {"msg": "report {{ written.report.run.result }}"}, "run_once": True},
        ],
    }],
}]
DRIFT: list[dict[str, Any]] = [{
    "hosts": "all", "gather_facts": False, "tasks": [
        {"ansible.builtin.set_fact": {"run_report_deployed": "{{ deployed }}"}},
        {
            "inferops.gpu.drift": {"folder": "{{ run_report_dir }}", "report": "{{ drift_report | default('') }}", "hosts": "{{ ansible_play_hosts }}"},
            "register": "found", "run_once": True,
        },
        {"ansible.builtin.debug": {"msg": "{{ found.lines }}"}, "run_once": True},
    ],
}]


class Runs:
    """Plays on two hosts that are this machine, and their folder of reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports = folder / "reports"
        hosts = {name: {"ansible_host": f"192.0.2.{number}", "ansible_connection": "local"} for number, name in enumerate(("gpu1", "gpu2"), start=1)}
        both = {"model_services": [{"name": "a"}], "run_report_dir": str(self.reports)}
        (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {**hosts, "other": {"ansible_connection": "local"}}, "children": {
            "serving": {"hosts": dict.fromkeys(hosts, {}), "vars": both}}}}), encoding="utf-8")

    def play(
        self, plays: list[dict[str, Any]], *arguments: str, callbacks: str = "inferops.gpu.run_record", **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        path = self.folder / "site.yml"
        path.write_text(yaml.safe_dump(plays), encoding="utf-8")
        given = json.dumps({"run_report_dir": str(self.reports), **variables})
        return ansible_runs.playbook(
            "-i", str(self.folder / "hosts.yml"), str(path), "-l", "serving", "-e", given, *arguments, cwd=self.folder,
            env={"ANSIBLE_CALLBACKS_ENABLED": callbacks, "ANSIBLE_NOCOLOR": "1"},
        )

    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.reports / "latest.json").read_text(encoding="utf-8"))
        return found


@pytest.fixture(name="runs")
def _runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_a_run_that_succeeds(runs: Runs) -> None:
    done = runs.play(SITE, "--skip-tags", "slow")
    assert done.returncode == 0, done.stdout
    report = runs.last()
    run, hosts = report["run"], report["hosts"]
    assert (run["result"], run["limit"], run["skip_tags"], run["playbook"], run["check_mode"]) == ("succeeded", "serving", ["slow"], "site.yml", False)
    assert set(hosts) == {"gpu1", "gpu2"} and hosts["gpu2"]["address"] == "192.0.2.2"
    assert [change["task"] for change in hosts["gpu1"]["changes"]] == ["Change gpu1"] and hosts["gpu2"]["changes"] == []
    assert hosts["gpu1"]["state"] == DEPLOYED["state"] and run["tasks_recorded"] and run["seconds"] < 100
    # The report itself is no change.
    assert "gpu2                       : ok=1    changed=0" in done.stdout and "gpu1                       : ok=4    changed=1" in done.stdout, done.stdout


@pytest.mark.parametrize("failing", [["gpu2"], ["gpu1", "gpu2"]])
def test_a_run_that_fails(runs: Runs, failing: list[str]) -> None:
    """On one host, and on all of them, of which a later play would not run at all. The run still fails."""
    done = runs.play(SITE, failing=failing)
    assert done.returncode == 2, done.stdout
    report = runs.last()
    assert report["run"]["result"] == "failed" and report["run"]["failed_hosts"] == failing
    [failure] = report["hosts"]["gpu2"]["failures"]
    assert failure["task"] == "Fail on some" and failure["message"] == "no space; http://(hidden)@mirror.example/"
    assert report["hosts"]["gpu2"]["state"] == DEPLOYED["state"]
    assert "no space" in Path(runs.reports / "latest.html").read_text(encoding="utf-8")


def test_without_the_callback(runs: Runs) -> None:
    """Who failed is known; which task, is not."""
    assert runs.play(SITE, callbacks="inferops.gpu.heartbeat", failing=["gpu2"]).returncode == 2
    report = runs.last()
    assert report["run"]["failed_hosts"] == ["gpu2"] and not report["run"]["tasks_recorded"] and report["hosts"]["gpu2"]["failures"] == []


def test_a_folder_that_cannot_be_written_is_a_warning(runs: Runs) -> None:
    """The hosts are deployed: the run succeeds, and says what is missing and how to fix it."""
    runs.reports.write_text("a file", encoding="utf-8")
    done = runs.play(SITE)
    said = " ".join(done.stdout.split())
    assert done.returncode == 0 and "The report of this run was not written: run_report_dir" in said and "Fix: name a folder" in said, done.stdout


def test_old_reports_are_pruned(runs: Runs) -> None:
    for _number in range(3):
        runs.play(SITE)
    assert len(list(runs.reports.glob("2*.json"))) == len(list(runs.reports.glob("2*.html"))) == 2


def test_drift(runs: Runs) -> None:
    runs.play(SITE)
    ended = runs.last()["run"]["ended"]
    done = runs.play(DRIFT, deployed=DEPLOYED)
    assert done.returncode == 0 and f"gpu1, gpu2: nothing differs since {ended}" in done.stdout, done.stdout
    stopped = {**DEPLOYED, "state": {**STATE, "units": {"vllm-a.service": "inactive, enabled"}}}
    done = runs.play(DRIFT, deployed=stopped)
    assert done.stdout.count("unit vllm-a.service: active, enabled → inactive, enabled") == 2, done.stdout


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "has no report with the state of gpu1 (192.0.2.1), gpu2 (192.0.2.2), so there is nothing to compare with. Fix: run site.yml"),
        ({"drift_report": "/nonexistent.json"}, "/nonexistent.json: No such file or directory. Fix: name a report's JSON file"),
    ],
)
def test_no_report_is_an_error_with_a_fix(runs: Runs, variables: dict[str, str], said: str) -> None:
    done = runs.play(DRIFT, deployed=DEPLOYED, **variables)
    assert done.returncode == 2 and said in " ".join(done.stdout.split()), done.stdout


def test_a_named_report(runs: Runs) -> None:
    """By a path relative to the working directory; hosts that are not in it are an error."""
    runs.play(SITE)
    [path] = runs.reports.glob("2*.json")
    report = json.loads(path.read_text(encoding="utf-8"))
    del report["hosts"]["gpu2"]
    (runs.folder / "one.json").write_text(json.dumps(report), encoding="utf-8")
    done = runs.play(DRIFT, deployed=DEPLOYED, drift_report="one.json")
    said = " ".join(done.stdout.split())
    assert done.returncode == 2 and "has no report with the state of gpu2 (192.0.2.2)" in said and "Fix: name a report of these hosts in drift_report" in said
