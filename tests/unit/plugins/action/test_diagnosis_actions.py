# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The doctor's actions: the controller's clock around the module, and the report from what hosts have registered."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible_collections.inferops.gpu.plugins.action import host_diagnosis
from ansible_runs import playbook


def test_the_hosts_clock_is_between_two_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a connection on which the module takes a moment."""

    def module(*_arguments: Any) -> dict[str, Any]:
        time.sleep(0.05)
        return {"findings": [], "clock": {"started": time.time(), "ended": time.time()}}

    monkeypatch.setattr(NormalAction, "run", module)
    action = host_diagnosis.ActionModule.__new__(host_diagnosis.ActionModule)
    began = time.time()
    found = action.run()
    assert found["findings"] == [] and began <= found["controller"]["before"]
    assert found["controller"]["before"] < found["clock"]["started"] <= found["clock"]["ended"] <= found["controller"]["after"]
    assert found["clock"]["started"] - found["controller"]["before"] >= 0.05


INVENTORY = """
all:
  hosts:
    gpu1:
      model_services: [{name: q}]
      __plan_facts: {host: {services: [{unit: vllm-q.service, service: q, port: 0, gpus: [0], active: active, status: serving}], gpu_error: it is broken}}
      found: {findings: [], unknown: {pci: no permission}, running: []}
    gpu2:
      model_services_x: [{name: r}]
      __plan_facts: {unreachable: true, msg: "no route, says https://user:s3cr3t@proxy/"}
      found: {skipped: true}
    gpu3:
      model_services: [{name: s}]
      __plan_facts: {failed: true, msg: "first line\\nit broke"}
      found: {failed: true, msg: it broke too}
    other: {}
"""
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - inferops.gpu.diagnosis_report: {found: found, plan: "{{ plan }}"}
      register: report
      run_once: true
    - ansible.builtin.copy: {content: "{{ report | to_json }}", dest: "{{ out }}"}
      delegate_to: localhost
      connection: local
      run_once: true
"""
ERRORS = [{"host": "gpu1", "service": "q", "key": "port", "value": "80", "why": "it is taken", "fix": "x"}]


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs the action for four hosts, of which one has no services, and returns its result."""
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    (tmp_path / "play.yml").write_text(PLAYBOOK)

    def action(plan: dict[str, Any]) -> dict[str, Any]:
        out = tmp_path / "out.json"
        done = playbook("-i", "hosts.yml", "play.yml", "-e", json.dumps({"plan": plan, "out": str(out)}), cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    return action


def test_the_report(run: Any) -> None:
    found = run({"failed": True, "msg": "1 error in the plan", "errors": ERRORS, "hosts": {}})
    named = {host: [(item["check"], item["service"]) for item in one["findings"]] for host, one in found["hosts"].items()}
    assert named == {
        "gpu1": [("driver", None), ("plan", "q")], "gpu2": [("unreachable", None)], "gpu3": [("doctor", None), ("doctor", None)],
    }
    assert found["errors"] == 5 and "s3cr3t" not in json.dumps(found) and found["hosts"]["gpu1"]["unknown"]["pci"] == "no permission"
    assert found["hosts"]["gpu3"]["findings"][0]["cause"].endswith("it broke too") or found["hosts"]["gpu3"]["findings"][1]["cause"].endswith("it broke too")


def test_a_plan_that_broke_is_on_each_host(run: Any) -> None:
    found = run({"failed": True, "msg": "inferops.gpu is broken"})
    assert all("plan" in [item["check"] for item in one["findings"]] for one in found["hosts"].values())
