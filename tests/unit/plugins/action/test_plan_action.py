# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action plugin as Ansible runs it: inventories in files, templates, limits, check mode, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ansible_runs
import plan_runs
import pytest

from ansible_runs import ROOT
from plan_runs import play  # noqa: F401, pytest finds the fixture by its name here

SECRET = "s3cr3t-of-the-test"

GOOD = """
all:
  hosts:
    web1:
  children:
    gpus:
      hosts:
        gpu1: {ansible_host: "{{ network }}.11"}
        gpu2: {ansible_host: "{{ network }}.12", first_port: 9001}
      vars:
        network: 10.0.0
        first_port: 8001
        # Refers to a role's default, which is not among a host's variables.
        weights_dir: "{{ host_state_dir }}/weights"
        plan_gpus: "{{ 2 * 2 }}"
        vault: s3cr3t-of-the-test
        model_services:
          - name: qwen
            model: qwen3-235b-a22b-instruct-2507-fp8
            port: "{{ first_port }}"
            api_key: "{{ vault }}"
            secret_environment: {TOKEN: "{{ vault }}"}
            vllm_args: "{{ {'max_model_len': 32 * 1024} }}"
          - name: old
            state: absent
"""


def test_good_inventory(play: Any) -> None:
    """Every host with services is planned, whatever the limit, in check mode as well; no secret is printed."""
    run = play(GOOD, "--check", "--limit", "gpu1", "-e", "model_service_start_timeout=900")
    assert run.status == 0, run.printed
    assert SECRET not in run.printed and SECRET not in json.dumps(run.planned)
    assert sorted(run.planned["hosts"]) == ["gpu1", "gpu2"] and run.planned["errors"] == [] and run.planned["changed"] is False
    first, second = (run.planned["hosts"][name]["services"][0] for name in ("gpu1", "gpu2"))
    assert (first["url"], second["url"]) == ("http://10.0.0.11:8001", "http://10.0.0.12:9001")
    assert first["weights_path"].startswith("/var/lib/inferops/weights/Qwen--")
    assert {"--tensor-parallel-size=4", "--max-model-len=32768"} <= set(first["argv"])
    assert first["has_api_key"] is True and first["timeouts"]["start"] == 900
    assert [line.split()[0] for line in run.planned["summary"][:3] if line] == ["HOST", "gpu1", "gpu1"]


# As AWX writes the answers of a form and what a credential brings: every text marked unsafe, the keys as well.
FORM = """
!unsafe 'plan_service_model': !unsafe 'qwen3-0.6b'
!unsafe 'plan_service_vllm_version': !unsafe '0.31.0'
!unsafe 'plan_service_port': 9100
!unsafe 'plan_service_gpus':
- !unsafe '2'
!unsafe 'plan_service_max_model_len': 4096
!unsafe 'model_service_credential_api_key': !unsafe 's3cr3t-of-the-test'
!unsafe 'awx_job_id': 7
"""


def test_a_form_over_the_inventory(play: Any, tmp_path: Path) -> None:
    """The answers go over the one service of the limit and over no other host's, and are reported; the key of the credential is not shown."""
    (tmp_path / "form.yml").write_text(FORM, encoding="utf-8")
    keyless = "\n".join(line for line in GOOD.splitlines() if "api_key" not in line)
    run = play(keyless, "--limit", "gpu1", "-e", "@form.yml")
    assert run.status == 0, run.printed
    assert SECRET not in run.printed and SECRET not in json.dumps(run.planned)
    first, second = (run.planned["hosts"][name]["services"][0] for name in ("gpu1", "gpu2"))
    assert (first["model"], first["port"], first["gpus"], first["release"][:11]) == ("qwen3-0.6b", 9100, [2], "vllm-0.31.0")
    assert "--max-model-len=4096" in first["argv"] and first["has_api_key"] is True
    assert (second["model"], second["port"]) == ("qwen3-235b-a22b-instruct-2507-fp8", 9001)
    assert any("uses the inventory again" in warning and "gpu1 / qwen" in warning for warning in run.planned["warnings"])


def test_a_form_that_cannot_be(play: Any, tmp_path: Path) -> None:
    """Expressions in an answer stay text, and are refused as such."""
    (tmp_path / "form.yml").write_text("!unsafe 'plan_service_model': !unsafe '{{ vault }}'\n!unsafe 'plan_service_name': !unsafe 'gwen'\n", encoding="utf-8")
    run = play(GOOD, "-e", "@form.yml")
    assert run.status != 0 and SECRET not in run.printed and "Traceback" not in run.printed
    assert "plan_service_model" in run.printed and "did you mean qwen?" in run.printed


BAD = """
all:
  hosts:
    gpu1:
      vllm_version: "{{ undefined_version }}"
      model_services:
        - name: one
          model: qwen3-235b-a22b-instruct-2507-fp8
          port: "{{ undefined_port }}"
          api_key: "{{ 's3cr3t-of-the-test' + 5 }}"
        - name: two
          model: nothing
          port: 99999
        - {name: old, state: absent, port: "{{ undefined_but_unused }}"}
        - {name: "{{ undefined_name }}", model: a/b, port: 8009}
        - "name: three api_key: s3cr3t-of-the-test"
    gpu2:
      model_services: "{{ undefined_services }}"
    gpu3:
      model_services: 5
    gpu4:
      model_services:
    gpu5:
      model_services: [{name: one, model: a/b, port: "{{ 5 +/ 5 }}"}]
    gpu6:
      weights_dir: "{{ weights_dir }}/more"
      vllm_build_timeout: soon
      model_services: "{{ [{'name': 'one', 'api_key': 's3cr3t-of-the-test'}] + undefined_list }}"
"""


def test_bad_inventory(play: Any) -> None:
    """All errors come at once, each with its place; no traceback, no secret."""
    run = play(BAD)
    assert run.status != 0
    assert "Traceback" not in run.printed and SECRET not in run.printed
    assert run.printed.count("errors in the plan; nothing was changed.") >= 1
    blocks = [" ".join(block.split()) for block in run.printed.split("\nfault ")]
    for words in (
        ("host: gpu1", "service: one", "key: port", "{{ undefined_port }}", "'undefined_port' is undefined"),
        ("host: gpu1", "service: one", "key: api_key", "(hidden)"),
        ("host: gpu1", "key: vllm_version", "'undefined_version' is undefined"),
        ("host: gpu1", "service: two", "key: model", "nothing"),
        ("host: gpu1", "service: two", "key: port", "99999"),
        ("host: gpu1", "service: model_services[3]", "key: name", "'undefined_name' is undefined"),
        ("host: gpu1", "service: model_services[4]", "where a service belongs"),
        ("host: gpu2", "key: model_services", "'undefined_services' is undefined"),
        ("host: gpu3", "key: model_services", "where a list of services belongs"),
        ("host: gpu6", "key: weights_dir", "ecursive"),
        ("host: gpu6", "key: vllm_build_timeout", "value: soon", "fix: write a whole number"),
        ("host: gpu6", "key: model_services", "(hidden)", "'undefined_list' is undefined"),
        ("host: gpu5", "service: one", "key: port", "{{ 5 +/ 5 }}"),
    ):
        assert any(all(word in block for word in words) for block in blocks), words
    assert "undefined_but_unused" not in run.printed


def test_takes_no_options(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option would be lost in silence."""
    monkeypatch.setattr(plan_runs, "PLAYBOOK", plan_runs.PLAYBOOK.replace("inferops.gpu.plan:", "inferops.gpu.plan: {hosts: [a]}"))
    run = play("all: {hosts: {web1: }}")
    assert run.status != 0 and "Unsupported parameters" in run.printed and "Traceback" not in run.printed


def test_no_services_anywhere(play: Any) -> None:
    """Nothing to plan is no error."""
    run = play("all: {hosts: {web1: }}")
    assert run.status == 0, run.printed
    assert run.planned["hosts"] == {} and run.planned["summary"] == []


LAPTOP = """
all:
  vars:
    plan_gpus: 4
  hosts:
    gpu1:
      ansible_host: 192.0.2.1
      model_services: [{name: qwen, model: qwen3-0.6b, port: %s, gpus: [0]}]
    gpu2:
      ansible_host: 192.0.2.2
      model_services: [{name: qwen, model: qwen3-0.6b, port: 8001, gpus: [0]}]
"""


@pytest.mark.parametrize(("port", "status", "hosts"), [(8001, 0, ["gpu1", "gpu2"]), (80, 2, [])])
def test_the_playbook_from_a_laptop(tmp_path: Path, port: int, status: int, hosts: list[str]) -> None:
    """No host is reached; the plan, or its errors, are written where plan_output says, in check mode as well."""
    (tmp_path / "inventory.yml").write_text(LAPTOP % port, encoding="utf-8")
    arguments = ["-i", "inventory.yml", str(ROOT / "playbooks" / "plan.yml"), "--check", "-e", "plan_offline=true", "-e", "plan_output=plan.json"]
    done = ansible_runs.playbook(*arguments, cwd=tmp_path, config=ROOT / "ansible.cfg", merged=False)
    assert done.returncode == status, done.stdout
    written = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert sorted(written["hosts"]) == hosts
    assert [error["key"] for error in written["errors"]] == ([] if hosts else ["port"])
    assert ("GIB USED" in " ".join(done.stdout.split())) is bool(hosts) and "unreachable=1" not in done.stdout
