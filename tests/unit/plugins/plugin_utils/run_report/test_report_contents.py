# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The contents of a report: who failed, what changed, what was verified; no secrets and no control characters."""

from __future__ import annotations

import json

from typing import Any

import pytest
import report_builders as builders

from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report import contents, origin
from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report.recorder import MOST_TASKS, Record


def test_a_run_that_serves() -> None:
    report = builders.report()
    run, host = report["run"], report["hosts"]["gpu1"]
    assert (report["format"], run["result"], run["started"], run["ended"], run["seconds"]) == (
        1, "succeeded", "2026-11-26T23:37:34Z", "2026-11-26T23:41:57Z", 262.5,
    )
    assert [(one["what"], one["passed"], one["seconds"]) for one in host["verifications"]] == [
        ("health gate on the host", True, 96.4), ("request from the controller", True, 0.4),
    ]
    assert [change["task"] for change in host["changes"]] == ["configure | Write unit files", "service | Start, restart or stop services"]
    assert host["releases"][builders.RELEASE]["lock"] == "b" * 64 and host["weights"][builders.WEIGHTS]["digest"] == "c" * 64
    assert host["plan"]["services"][0]["argv"][1] == "serve" and host["plan"]["sysctl"] == {"net.core.somaxconn": "65535"}
    # What a file of JSON gives back is the same.
    assert json.loads(json.dumps(report, allow_nan=False)) == report


@pytest.mark.parametrize(
    ("host", "unreachable", "result"),
    [
        (builders.host(), set(), "succeeded"),
        (builders.host(failed=True), set(), "failed"),
        (builders.host(failed=True, deployed={}), {"gpu1"}, "unreachable"),
    ],
)
def test_result_of_a_host(host: contents.HostRun, unreachable: set[str], result: str) -> None:
    recorded = builders.record()
    recorded.unreachable = unreachable
    report = builders.report(host, recorded=recorded)
    assert report["hosts"]["gpu1"]["result"] == result
    assert report["run"]["result"] == ("succeeded" if result == "succeeded" else "failed")
    assert report["run"]["failed_hosts"] == ([] if result == "succeeded" else ["gpu1"])


def test_errors_of_the_plan_fail_the_run() -> None:
    """Without a host that failed: the plan covers hosts outside of the limit too."""
    error = {"host": "gpu9", "service": "", "key": "port", "value": "22", "why": "w", "fix": "f", "check": ""}
    report = builders.report(builders.host(plan={}, outcomes={}, verified={}), findings=contents.PlanFindings(errors=[error]))
    assert report["run"]["result"] == "failed" and report["errors"] == [error] and report["hosts"]["gpu1"]["plan"] == {}


def test_without_the_callback() -> None:
    """The report says so, and errors of services are known all the same."""
    failed = builders.host(failed=True, outcomes={}, verified={}, gate_errors={"qwen3-235b": "did not start"})
    report = builders.report(failed, recorded=Record())
    run, host = report["run"], report["hosts"]["gpu1"]
    assert (run["tasks_recorded"], run["started"], run["seconds"]) == (False, None, None)
    assert host["changes"] == host["failures"] == [] and host["service_errors"] == {"qwen3-235b": "did not start"}
    assert [(one["passed"], one["detail"]) for one in host["verifications"]] == [(False, "did not start")]
    assert [row["state"] for row in host["services"]] == ["failed"]


def test_a_host_that_could_not_be_read_says_so() -> None:
    host = builders.report(builders.host(failed=True, deployed={}))["hosts"]["gpu1"]
    assert host["unread"] == {"state": "the host could not be read at the end of the run"} and host["state"] == {} and host["ports"] == []


def test_accepted_errors_are_listed_once() -> None:
    accepted = {"host": "gpu1", "service": "a", "check": "memory", "reason": "measured", "finding": "gpus 0: too small"}
    findings = contents.PlanFindings(warnings=["gpu1 / a: accepted as memory (measured): gpus 0: too small", "gpu1: another"], accepted=[accepted])
    report = builders.report(findings=findings)
    assert report["warnings"] == ["gpu1: another"] and report["accepted"] == [accepted]


def test_secrets_are_in_no_report() -> None:
    """Of indexes, environments that should not have them, messages, and what services answered."""
    recorded = builders.record()
    recorded.add("failed", "gpu1", {"task": "t", "role": "", "items": [], "message": "GET https://ada:hunter22@hub.example/x: Bearer hf_abcdefghijklmnop"})
    service = builders.service(environment={"MY_API_KEY": "hunter22", "PROXY": "http://ada:hunter22@proxy.example:3128"})
    verified = {"answers": {}, "errors": {"a": "Authorization: Bearer hunter22hunter22"}}
    text = json.dumps(builders.report(builders.host(plan=builders.plan(service), verified=verified), recorded=recorded))
    assert "hunter22" not in text and "hf_abcdef" not in text and "(hidden)" in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\x1b[31mb\x00", "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}"),
        ("a\u202eb", "a\N{REPLACEMENT CHARACTER}b"),
        ("\udcff", "\N{REPLACEMENT CHARACTER}"),
        ("two\nlines", "two\nlines"),
        ("x" * 5000, "x" * 4000),
        ({1: (True, None, 2, 1.5, float("nan"))}, {"1": [True, None, 2, 1.5, None]}),
    ],
)
def test_clean(value: Any, expected: Any) -> None:
    assert contents.clean(value) == expected


def test_a_record_has_a_limit() -> None:
    recorded = Record(active=True)
    for _number in range(MOST_TASKS + 3):
        recorded.add("changed", "gpu1", {"task": "t", "role": "", "items": []})
    host = builders.report(recorded=recorded)["hosts"]["gpu1"]
    assert len(host["changes"]) == MOST_TASKS and host["omitted_tasks"] == 3


def test_a_new_run_has_a_new_record() -> None:
    recorded = builders.record()
    recorded.start("/srv/site.yml")
    assert recorded.active and recorded.changed == {} and recorded.playbook == "/srv/site.yml" and recorded.began > builders.NOW - 1e9


def test_version(tmp_path: Any) -> None:
    """Of an installation, of a checkout, and of neither."""
    assert origin.version(tmp_path) == "unknown"
    (tmp_path / "galaxy.yml").write_text("namespace: a\nversion: 1.2.3\n", encoding="utf-8")
    assert origin.version(tmp_path) == "1.2.3"
    (tmp_path / "MANIFEST.json").write_text('{"collection_info": {"version": "2.0.0"}}', encoding="utf-8")
    assert origin.version(tmp_path) == "2.0.0"


def test_commits(tmp_path: Any) -> None:
    """Of a checkout with a changed file, named twice; a folder outside of one is left out."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    git = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    (checkout / "hosts.yml").write_text("all:\n", encoding="utf-8")
    for command in (["init", "-q"], ["add", "."], [*git, "commit", "-q", "-m", "first"]):
        origin._git(str(checkout), *command)
    found = origin.commits([str(checkout), str(checkout / "hosts.yml"), str(tmp_path)])
    assert list(found) == [str(checkout)] and len(found[str(checkout)]["commit"]) == 40 and not found[str(checkout)]["modified"]
    (checkout / "hosts.yml").write_text("all: {}\n", encoding="utf-8")
    assert origin.commits([str(checkout)])[str(checkout)]["modified"]
