# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""playbooks/status.yml: a service that serves, one that is stopped, one that failed, what was changed outside, what the inventory does not name."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab import ENVIRONMENT, ROOT, Play, Scenario, Unit, wait_until
from testinfra.host import Host

SECRETS = ("sk-lab-key-9f2c41", "lab-secret-77aa02")
# The unit of a service that the inventory no longer has.
OLD = "/etc/systemd/system/vllm-old.service"
DROP_IN = "/etc/systemd/system/vllm-qwen3-235b.service.d"


def status(scenario: Scenario, output: Path, *arguments: str) -> tuple[Play, dict[str, Any]]:
    """The run and its JSON. It changes nothing on the host."""
    command = replace(scenario, playbook="playbooks/status.yml").command("-e", f"status_output={output}", *arguments)
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
    play = Play(done.returncode, done.stdout, 0.0)
    assert play.status == 0, play.output
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    text = output.read_text(encoding="utf-8")
    assert not [secret for secret in SECRETS if secret in text + play.output]
    return play, json.loads(text)


@pytest.fixture
def restored(host: Host, unit: Unit) -> Iterator[None]:
    """The service as it was, serving, after a test has changed and stopped it."""
    files = f"/etc/systemd/system/{unit.name} /etc/inferops/qwen3-235b.env"
    host.run_expect([0], f"mkdir -p /tmp/status-before && cp -p {files} /tmp/status-before")
    yield
    host.run_expect([0], (
        f"rm -rf {OLD} {DROP_IN} /run/small-engine.json; cp -p /tmp/status-before/{unit.name} /etc/systemd/system/; "
        f"cp -p /tmp/status-before/qwen3-235b.env /etc/inferops/; rm -r /tmp/status-before; systemctl daemon-reload; systemctl reset-failed {unit.name}; "
        f"systemctl restart {unit.name}"
    ))


@pytest.mark.usefixtures("restored")
def test_a_service_that_serves_and_what_was_changed_outside(scenario: Scenario, host: Host, unit: Unit, tmp_path: Path) -> None:
    host.run_expect([0], (
        f"sed s/qwen3-235b/old/g /etc/systemd/system/{unit.name} >{OLD}; echo '# by hand' >>/etc/systemd/system/{unit.name}; "
        f"echo BY_HAND=1 >>/etc/inferops/qwen3-235b.env; mkdir {DROP_IN}; printf '[Service]\\nNice=5\\n' >{DROP_IN}/nice.conf; systemctl daemon-reload"
    ))
    before = unit.main_pid
    play, found = status(scenario, tmp_path / "status.json")
    assert unit.main_pid == before
    [service] = [item for item in found["services"] if item["inventory"] == "present"]
    assert (service["service"], service["state"], service["hosts"]) == ("qwen3-235b", "serving", ["lab-gpu1"])
    assert service["endpoint"].endswith(":8001/v1") and service["task"] == "chat" and service["since"] and service["memory_bytes"] > 0
    assert service["requests_running"] == 0 and service["generation_tokens_per_second"] is not None and service["error"] == ""
    assert [change["what"] for change in service["changed"]] == ["environment_file", "unit_file", "drop_in"]
    [machine] = found["hosts"]
    assert [item["unit"] for item in machine["orphaned"]] == ["vllm-old.service"] and machine["unmanaged"] == []
    assert len(machine["gpus"]) == 4 and machine["gpus"][0]["services"] == ["qwen3-235b"] and machine["disks"][0]["free_bytes"] > 0
    assert found["plan"] == {"valid": True, "errors": 0, "message": ""}
    assert "1 service: 1 serving; 1 not in the inventory; 1 host" in play.said
    assert "changed outside: the drop-in" in play.said and f"{DROP_IN}/nice.conf" in play.said and "remove_service=old" in play.said


@pytest.mark.usefixtures("restored")
def test_a_stopped_one_beside_a_plan_that_is_not_valid(scenario: Scenario, host: Host, unit: Unit, tmp_path: Path) -> None:
    """In check mode, with an error in the inventory."""
    host.run_expect([0], f"systemctl stop {unit.name}")
    play, found = status(scenario, tmp_path / "status.json", "--check", "-e", "vllm_version=banana", "-e", "status_service=qwen3-235b")
    assert "plan not valid: " in play.said and not found["plan"]["valid"] and found["plan"]["errors"] > 0
    [service] = found["services"]
    assert (service["state"], service["requests_running"], service["changed"]) == ("stopped", None, [])
    assert unit.show("ActiveState") == "inactive"


@pytest.mark.usefixtures("restored")
def test_a_failed_one(scenario: Scenario, host: Host, unit: Unit, tmp_path: Path) -> None:
    """Wrong arguments, which no restart fixes. The reason is that of the kept log."""
    host.run_expect([0], f"systemctl stop {unit.name}; echo '{{\"exit_at_start\": 2}}' >/run/small-engine.json; systemctl start --no-block {unit.name}")
    wait_until(lambda: unit.show("ActiveState") == "failed", 30, "the unit has failed")
    play, found = status(scenario, tmp_path / "status.json")
    [service] = found["services"]
    assert service["state"] == "failed" and service["last_failure"]["reason"] == "the engine ended with status 2", service
    assert "last failure" in play.said and "the engine ended with status 2" in play.said


def test_a_host_that_cannot_be_reached(scenario: Scenario) -> None:
    """The table says it, and the run fails."""
    command = replace(scenario, playbook="playbooks/status.yml").command("-e", "ansible_port=9", "-e", "ansible_ssh_timeout=3")
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0 and "lab-gpu1 unreachable" in said and "1 service: 1 unknown; 1 host" in said, done.stdout
