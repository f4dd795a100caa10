# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role refuses a token that is no secret, also when it did not come through the plan; the error does not show it."""

from __future__ import annotations

from pathlib import Path

import ansible_runs
import yaml

ROOT = Path(__file__).resolve().parents[4]

# A token of 32 characters or more is one; nothing else is.
TOKENS = {"long": ("0f" * 16, True), "short": ("0f" * 15, False), "spaces": ("two words of which each is long enough", False), "line": ("0f" * 16 + "\n", False)}


def test_only_tokens_that_are_secrets_pass(tmp_path: Path) -> None:
    """All hosts in one run: those that pass go on to the next task."""
    hosts = {name: {"multi_node_token": token} for name, (token, _passes) in TOKENS.items()}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    none = {"__multi_node_led": [], "__multi_node_services": [], "__multi_node_created_by": {}}
    role = {"ansible.builtin.include_role": {"name": "inferops.gpu.multi_node", "tasks_from": "token"}, "vars": none}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [role]}]), encoding="utf-8")
    arguments = ("-i", str(tmp_path / "hosts.yml"), "-c", "local", str(tmp_path / "play.yml"))
    done = ansible_runs.playbook(*arguments, env={"ANSIBLE_NOCOLOR": "1"}, config=ROOT / "ansible.cfg")
    recap = {line.split()[0]: "failed=0" in line for line in done.stdout.split("PLAY RECAP")[1].splitlines() if ": ok=" in line}
    assert recap == {name: passes for name, (_token, passes) in TOKENS.items()}, done.stdout
    assert "openssl rand -hex 32" in done.stdout
    assert not any(token in done.stdout for token, passes in TOKENS.values() if not passes)
