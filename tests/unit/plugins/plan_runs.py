# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs of ansible-playbook that plan an inventory of a test: the fixture C(play)."""

from __future__ import annotations

import json
import textwrap

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_runs import playbook

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - inferops.gpu.plan:
      register: planned
      run_once: true
      any_errors_fatal: true
    - ansible.builtin.copy:
        content: "{{ planned | to_json }}"
        dest: "{{ output }}"
      delegate_to: localhost
      connection: local
      run_once: true
      check_mode: false
"""


@dataclass
class Run:
    """One run of ansible-playbook: its exit status, all that it printed, and what the plan returned."""

    status: int
    printed: str
    planned: dict[str, Any]


@pytest.fixture
def play(tmp_path: Path) -> Any:
    """Runs the plan over an inventory given as YAML."""

    def run(inventory: str, *options: str) -> Run:
        (tmp_path / "inventory.yml").write_text(textwrap.dedent(inventory), encoding="utf-8")
        (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
        output = tmp_path / "planned.json"
        # Nobody outside is asked, unless a test wants it.
        extra = ["-e", f"output={output}", "-e", "plan_lookup=false"]
        done = playbook("-i", "inventory.yml", "play.yml", "-v", *extra, *options, cwd=tmp_path, env={"ANSIBLE_INJECT_FACT_VARS": "false"})
        planned = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
        return Run(done.returncode, done.stdout, planned)

    return run
