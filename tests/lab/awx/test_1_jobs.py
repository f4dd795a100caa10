# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs as AWX runs them: cancelled, finished by the next, run on another node, refused, checked. What they leave, and what they must not leave."""

from __future__ import annotations

import re
from typing import Any

import pytest
from awx_jobs import Artifacts, Awx, Job, where_found
from form import SECRETS, SERVICE, deploy, launch
from lab import GROUP, Unit
from testinfra.host import Host

BUILD = "inferops-release-*.service"


def assert_clean(artifacts: Artifacts) -> None:
    """Nothing of a secret in any file, and no minute without an event."""
    assert list(artifacts.files()), "there are no artifacts"
    assert where_found(artifacts, SECRETS) == []
    gap, before = artifacts.gaps()[0]
    assert gap < 60, f"{gap:.0f} s without an event after: {before}"


def test_cancelled_in_the_middle(awx: Awx, host: Host, slow_mirror: None) -> None:
    """The job is gone at once; the build that it followed goes on without it."""

    def builds() -> str:
        return host.run("systemctl list-units --plain --no-legend --state=active,activating %s", BUILD).stdout.partition(" ")[0]

    # One that an interrupted run has left would be done before the job comes to it.
    if builds():
        host.run_expect([0], "systemctl kill --signal=SIGKILL %s && systemctl stop %s", builds(), builds())
    done = awx.run(deploy(), cancel_at="Build of vllm")
    assert (done.status, done.rc) == ("canceled", 254), done.printed()
    assert builds(), "the build ended with the job"
    assert not done.of_kind("playbook_on_stats")
    assert_clean(done)


def test_the_next_job_finishes(awx: Awx, address: str, unit: Unit, record_property: Any) -> None:
    """What the cancelled job began becomes a service, and the result says so."""
    done = awx.run(deploy())
    print(done.summary())
    assert (done.status, done.rc) == ("successful", 0), done.printed()
    assert len(done.of_kind("playbook_on_stats")) == 1
    assert_clean(done)
    [row] = done.result()["inferops_result"]
    seconds = row.pop("seconds_to_ready")
    assert 1 < seconds < done.seconds()
    assert row.pop("tokens_per_second") > 0
    assert re.fullmatch(r"vllm-0\.32\.0[\w.+-]*", row.pop("release"))
    assert re.fullmatch(r"[0-9a-f]{40}", row.pop("revision"))
    assert row == {
        "service": SERVICE["name"], "host": "lab-gpu1", "state": "serving", "endpoint": f"{address}/v1", "model": SERVICE["name"],
        "catalogue": SERVICE["model"], "repo": "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "action": "start", "changed": True,
    }
    assert unit.show("ActiveState") == "active", unit.journal()
    # What is followed tells how far it is, in events of their own, and not more often than need be.
    told = [event["stdout"] for event in done.of_kind("verbose") if "Start of qwen3-235b" in event["stdout"]]
    assert 1 <= len(told) <= 2 + seconds / 25, told


def test_on_another_node(awx: Awx, unit: Unit) -> None:
    """Transmitted, worked on and processed: nothing changes, and the result says that too."""
    before = unit.main_pid
    done = awx.run_elsewhere(deploy())
    assert (done.status, done.rc) == ("successful", 0), done.printed()
    assert [event["event_data"]["changed"] for event in done.of_kind("playbook_on_stats")] == [{}], done.printed()
    assert_clean(done)
    [row] = done.result()["inferops_result"]
    assert (row["state"], row["action"], row["changed"], row["seconds_to_ready"]) == ("serving", "none", False, None)
    assert unit.main_pid == before


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"plan_service_port": 22}, ["value:   22", "SSH"]),
        ({"plan_service_model": "qwen3-235b-a22b-instruct-2507-fp9"}, ["did you mean", "qwen3-235b-a22b-instruct-2507-fp8"]),
        # Templates in answers stay text.
        ({"plan_service_model": "{{ model_service_credential_api_key }}"}, ["{{ model_service_credential_api_key }}"]),
    ],
    ids=["the port of SSH", "an unknown model", "a template"],
)
def test_refused(awx: Awx, unit: Unit, answers: dict[str, Any], words: list[str]) -> None:
    """Wrong answers end the job within seconds, with one message, and touch nothing."""
    before = unit.main_pid
    done = awx.run(deploy(**answers))
    print(done.summary())
    assert (done.status, done.rc) == ("failed", 2), done.printed()
    assert done.seconds() < 30
    [failed] = done.of_kind("runner_on_failed")
    message = failed["event_data"]["res"]["msg"]
    assert [word for word in [*words, "1 error in the plan; nothing was changed"] if word not in message] == [], message
    assert [word for word in words if word not in done.printed()] == [], done.printed()
    assert done.result() == {}
    assert_clean(done)
    assert unit.main_pid == before != "0"


def test_check_tells_what_would_be(awx: Awx, unit: Unit) -> None:
    """A template of type check: the result is a plan, and claims nothing."""
    before = unit.main_pid
    job = deploy(plan_service_max_model_len=1024)
    job.job_type = "check"
    done = awx.run(job)
    assert (done.status, done.rc) == ("successful", 0), done.printed()
    assert_clean(done)
    [row] = done.result()["inferops_result"]
    assert (row["state"], row["action"], row["changed"], row["seconds_to_ready"]) == ("planned", "restart", True, None)
    assert unit.main_pid == before


def test_verify(awx: Awx, address: str) -> None:
    """The template that only asks gives the same rows."""
    done = awx.run(launch("inferops verify"))
    assert (done.status, done.rc) == ("successful", 0), done.printed()
    assert_clean(done)
    [row] = done.result()["inferops_result"]
    assert (row["state"], row["endpoint"], row["action"]) == ("serving", f"{address}/v1", "none")


@pytest.mark.parametrize("name", ["inferops plan", "inferops weights only", "inferops status"])
def test_templates_that_leave_services_alone(awx: Awx, unit: Unit, name: str) -> None:
    """They pass, and find nothing to change."""
    before = unit.main_pid
    done = awx.run(launch(name))
    assert (done.status, done.rc) == ("successful", 0), done.printed()
    assert_clean(done)
    assert [event["event_data"]["changed"] for event in done.of_kind("playbook_on_stats")] == [{}], done.printed()
    assert SERVICE["name"] in done.printed() or name == "inferops weights only"
    assert unit.main_pid == before


# The end of site.yml, on hosts that are only names: the first one fails, as one does whose service does not pass its gate.
TWO_HOSTS = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.add_host: {name: "{{ item }}", groups: gpus, ansible_connection: local}
      loop: [gpu1, gpu2, gpu3]
- hosts: gpus
  gather_facts: false
  vars:
    model_services: [{name: a, api_key: sk-lab-key-9f2c41}]
  tasks:
    - ansible.builtin.set_fact:
        plan_host: {services: [{name: a, state: present, url: "http://{{ inventory_hostname }}:8001"}]}
        verify_result: {answers: {a: {seconds: 1}}}
    - ansible.builtin.assert: {that: inventory_hostname != 'gpu1'}
    - ansible.builtin.import_tasks: playbooks/tasks/result.yml
"""


def test_hosts_that_failed_are_not_in_the_result(awx: Awx) -> None:
    """The others are, each once."""
    (awx.project / "two_hosts.yml").write_text(TWO_HOSTS, encoding="utf-8")
    done = awx.run(Job("two_hosts.yml"))
    assert (done.status, done.rc) == ("failed", 2), done.printed()
    assert [(row["host"], row["state"]) for row in done.result()["inferops_result"]] == [("gpu2", "serving"), ("gpu3", "serving")]
    assert_clean(done)


def test_a_task_that_says_nothing_is_heard_of(awx: Awx, tmp_path: Any) -> None:
    """The project's own ansible.cfg brings the heartbeat into AWX's events; with a second for the default of 45."""
    play = "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Sleep\n      ansible.builtin.wait_for: {timeout: 4}\n"
    (awx.project / "silent.yml").write_text(play, encoding="utf-8")
    done = awx.run(Job("silent.yml", limit=GROUP, credential_environment={"INFEROPS_HEARTBEAT_SECONDS": "1"}))
    assert (done.status, done.rc) == ("successful", 0), done.printed()
    told = [event["stdout"] for event in done.of_kind("verbose") if "still at: Sleep (lab-gpu1: " in event["stdout"]]
    assert 2 <= len(told) <= 5, done.printed()
