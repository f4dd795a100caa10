# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbooks name the task of each service, and its supervisor asks for that task."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lab import Play, Scenario, Unit
from testinfra.host import Host

TASKS = {"picture": "chat", "base": "completion", "embed": "embedding", "rerank": "rerank", "score": "score", "sound": "transcription"}


def test_status_names_each_task(play: Callable[..., Play], scenario: Scenario, tmp_path: Path) -> None:
    output = tmp_path / "status.json"
    done = play(scenario=replace(scenario, playbook="playbooks/status.yml"), variables={"status_output": str(output)})
    assert done.status == 0, done.output
    services = json.loads(output.read_text(encoding="utf-8"))["services"]
    assert {service["service"]: (service["task"], service["state"]) for service in services} == {name: (task, "serving") for name, task in TASKS.items()}
    assert [task for task in TASKS.values() if f"/v1, {task}" not in done.said] == [], done.output


def test_verification_requests_each_task(play: Callable[..., Play], scenario: Scenario) -> None:
    done = play(scenario=replace(scenario, playbook="playbooks/verify.yml"))
    assert done.status == 0 and all(counts["changed"] == 0 for counts in done.recap.values()), done.output
    assert [name for name, task in TASKS.items() if f"{name} serves {name} at" not in done.said or f": {task}, " not in done.said] == [], done.output


@pytest.mark.parametrize("name", TASKS)
def test_nothing_restarts(host: Host, name: str) -> None:
    """The liveness probe of its supervisor, every ten seconds, gets an answer of its task."""
    unit = Unit(host, f"vllm-{name}.service")
    assert (unit.show("ActiveState"), unit.show("NRestarts")) == ("active", "0"), unit.journal()
