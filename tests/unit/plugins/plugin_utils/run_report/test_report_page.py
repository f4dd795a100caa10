# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page of a report: self-contained, every text escaped, every table with a caption and headings."""

from __future__ import annotations

import re

import pytest
import report_builders as builders

from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report import contents, page
from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report.recorder import Record

HOSTILE = "<b onclick=x>&\"'</td></script>"


@pytest.mark.parametrize("number", [1, 50])
def test_tables_have_captions_and_headings(number: int) -> None:
    text = page.render(builders.of_many(number) if number > 1 else builders.report())
    tables = re.findall(r"<table>.*?</table>", text, re.DOTALL)
    assert len(tables) > 8
    assert all(re.match(r"<table>\s*<caption>[^<]", table) and "<th scope=" in table for table in tables)


def test_nothing_is_loaded() -> None:
    """No script, no element that loads, no link to another page, no URL in the style; and the policy that forbids it."""
    text = page.render(builders.of_many(3))
    assert "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">" in text
    assert not re.search(r"<(script|img|link|iframe|object|embed|base|form|svg|audio|video)\b|\bon\w+=|@import|url\(|\bsrc=", text)
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', text))
    anchors = set(re.findall(r'id="([\w-]+)"', text))
    assert {target[1:] for target in re.findall(r'href="([^"]*)"', text)} <= anchors


def everywhere() -> dict[str, object]:
    """A report whose every text from outside is hostile."""
    recorded = Record(active=True, began=builders.NOW, playbook=HOSTILE, role_seconds={HOSTILE: 1.0})
    for kind in ("changed", "failed"):
        recorded.add(kind, HOSTILE, {"task": HOSTILE, "role": HOSTILE, "items": [HOSTILE], "message": HOSTILE})
    listener = {"protocol": HOSTILE, "port": 1, "address": HOSTILE, "owner": HOSTILE, "random": False}
    state = {"system": dict.fromkeys(("OS", "kernel", "NVIDIA driver"), HOSTILE), "gpus": {"GPU 0": HOSTILE}}
    deployed = builders.deployed(
        state=state, listeners=[listener], firewall=None, unread={HOSTILE: HOSTILE}, weights={HOSTILE: {"digest": HOSTILE, "unchanged": False}},
        releases={HOSTILE: dict.fromkeys(("engine", "version", "torch", "cuda", "python", "lock"), HOSTILE)},
    )
    service = builders.service(HOSTILE, **dict.fromkeys(("repo", "revision", "address", "port"), HOSTILE), served_model_names=[HOSTILE], gpus=[HOSTILE],
                               argv=[HOSTILE, HOSTILE], environment={HOSTILE: HOSTILE}, node={"rank": 0, "backend": HOSTILE, "nodes": [{"host": HOSTILE}]})
    plan = builders.plan(service)
    plan["firewall"]["rules"] = [{"port": HOSTILE, "protocol": HOSTILE, "sources": [HOSTILE], "comment": HOSTILE}]
    plan["kernel"]["sysctl"] = {HOSTILE: HOSTILE}
    host = builders.host(HOSTILE, address=f"at {HOSTILE}", failed=True, plan=plan, deployed=deployed, outcomes={}, verified={"errors": {HOSTILE: HOSTILE}})
    error = dict.fromkeys(("host", "service", "key", "value", "why", "fix", "check"), HOSTILE)
    accepted = dict.fromkeys(("host", "service", "check", "reason", "finding"), HOSTILE)
    findings = contents.PlanFindings(errors=[error], warnings=[HOSTILE], accepted=[accepted])
    run = dict.fromkeys(("limit", "user", "controller", "ansible", "collection", "playbook"), HOSTILE)
    row = builders.result(HOSTILE, **dict.fromkeys(("service", "state", "endpoint", "repo", "revision", "release", "action"), HOSTILE))
    about = {**builders.RUN, **run, "tags": [HOSTILE], "inventory": [HOSTILE], "commits": {HOSTILE: {"commit": HOSTILE, "modified": True}}}
    return contents.build(about, [host], findings, [row], recorded, builders.NOW)


def test_every_text_is_escaped() -> None:
    text = page.render(everywhere())
    assert "<b onclick" not in text and "&\"'" not in text
    assert text.count("&lt;b onclick=x&gt;") > 50
    assert text.count("</td></script>") == 0


def test_an_accepted_finding_of_many_hosts_is_one_row() -> None:
    text = page.render(builders.of_many(50))
    assert text.count("measured in the staging cluster") == 1 and "<summary>49 hosts</summary>" in text


def test_failures_come_first() -> None:
    text = page.render(builders.of_many(3))
    assert text.index("Build failed.") < text.index('id="services"') and "gpu3: state: the host could not be read" in text


def test_errors_of_the_plan_are_listed_once() -> None:
    """The task that resolves the plan has failed on every host, with all of them in its message."""
    error = {"host": "gpu1", "service": "a", "key": "port", "value": "22", "why": "SSH has it", "fix": "another port", "check": ""}
    recorded = builders.record()
    recorded.add("failed", "gpu1", {"task": "Resolve the plan", "role": "plan", "items": [], "message": "1 error in the plan: SSH has it"})
    failed = builders.host(failed=True, plan={}, outcomes={}, verified={})
    text = page.render(builders.report(failed, findings=contents.PlanFindings(errors=[error]), recorded=recorded))
    assert text.count("SSH has it") == 1 and "The host has no plan" in text


def test_without_the_callback_the_page_says_so() -> None:
    failed = builders.host(failed=True, outcomes={}, verified={}, gate_errors={"qwen3-235b": "did not start\nfrom its journal"})
    text = page.render(builders.report(failed, recorded=Record()))
    assert "Tasks were not recorded" in text and "not recorded</dd>" in text and "<pre>did not start\nfrom its journal</pre>" in text
    assert "<td>did not start</td>" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "not recorded"), (7.46, "7.5 s"), (59.7, "1 min 0 s"), (262.5, "4 min 22 s"), (3600, "1 h 0 min"), (7384, "2 h 3 min")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert page._duration(seconds) == text


def test_command() -> None:
    assert page._command(["/bin/vllm", "serve", "/m x", "--port", "1", "--a='b'"]) == "/bin/vllm serve '/m x' \\\n    --port 1 \\\n    '--a='\"'\"'b'\"'\"''"
