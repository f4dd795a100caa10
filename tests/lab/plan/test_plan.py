# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role plan on a real host: what it reads is true, and nothing of it stays behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab import Play, Scenario
from testinfra.host import Host

# Names, sizes and times of all that a run could leave. Ansible's own temporary directories are gone by the time it ends.
LISTING = "find /etc /opt /usr/local /var/lib /var/cache /root /home -xdev -type f -printf '%p %s %T@\\n' | grep -v /var/lib/systemd/ | sort"


@pytest.fixture
def listing(host: Host) -> Callable[[], str]:
    """What is on the host's disk."""
    return lambda: str(host.check_output(LISTING))


@pytest.fixture
def planned(scenario: Scenario, play: Callable[..., Play], tmp_path: Path) -> Callable[..., tuple[Play, dict[str, Any]]]:
    """A run of playbooks/plan.yml, and the plan that it has written."""

    def run(**variables: Any) -> tuple[Play, dict[str, Any]]:
        output = tmp_path / "plan.json"
        done = play(scenario=replace(scenario, playbook="playbooks/plan.yml"), variables={"plan_output": str(output), **variables})
        return done, json.loads(output.read_text(encoding="utf-8"))

    return run


def test_the_plan_of_a_host(planned: Callable[..., tuple[Play, dict[str, Any]]], listing: Callable[[], str]) -> None:
    """The service with the host's own GPUs and paths; the host is what it was."""
    before = listing()
    done, plan = planned()
    assert done.status == 0, done.output
    [service] = plan["hosts"]["lab-gpu1"]["services"]
    assert (service["name"], service["unit"], service["gpus"]) == ("qwen3-235b", "vllm-qwen3-235b.service", [0, 1, 2, 3])
    assert "qwen3-235b" in done.output
    assert listing() == before


def test_errors_are_told_with_what_the_host_has(host: Host, planned: Callable[..., tuple[Play, dict[str, Any]]], listing: Callable[[], str]) -> None:
    """A GPU that the host does not have, and a port that somebody else listens on: both at once, each with the host's own word."""
    host.run_expect([0], "systemd-run --unit=lab-listener python3 -m http.server 8005")
    before = listing()
    try:
        service = {"name": "one", "model": "qwen3-0.6b", "port": 8005, "gpus": [4]}
        done, plan = planned(model_services=[service])
        assert done.status != 0
        assert len(plan["errors"]) == 2, plan["errors"]
        said = done.said
        assert "lab-listener.service (on 0.0.0.0) already listens on it" in said and "the host has no GPU 4" in said, done.output
        assert listing() == before
    finally:
        host.run_expect([0], "systemctl stop lab-listener")
