# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs of ansible-playbook that plan an inventory of a test: the fixture C(play)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
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
        (tmp_path / "ansible.cfg").touch()
        (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
        output = tmp_path / "planned.json"
        # Nobody outside is asked, unless a test wants it.
        extra = ["-e", f"output={output}", "-e", "plan_lookup=false"]
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "inventory.yml", "play.yml", "-v", *extra, *options]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_INJECT_FACT_VARS": "false",
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        }
        done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120)
        planned = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
        return Run(done.returncode, done.stdout, planned)

    return run
