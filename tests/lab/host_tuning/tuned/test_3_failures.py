# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What comes between: other people's rules, services that go, a change that shuts the controller out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from firewall import is_active, is_pending, policy, rules, state
from lab import ENVIRONMENT, ROOT, Play, Scenario, wait_until
from reach import ADDRESS, ALONE, CONTROLLER, FIRST, PAIR, SECOND, STRANGER, can_log_in, on, scan

RETURN_AFTER = 20


def play_with(scenario: Scenario, folder: Path, name: str, variables: dict[str, Any]) -> Play:
    """A run with a host's variables overriding the inventory's."""
    (folder / "host_vars").mkdir()
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {name: None}}}), encoding="utf-8")
    (folder / "host_vars" / f"{name}.yml").write_text(yaml.safe_dump(variables), encoding="utf-8")
    changed = Scenario((*scenario.inventories, folder), scenario.playbook, "tuned")
    done = subprocess.run(
        changed.command(), cwd=ROOT, env=ENVIRONMENT, text=True, timeout=300,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )
    return Play(done.returncode, done.stdout, 0)


def test_other_plan_next_to_others_rules(scenario: Scenario, play: Callable[..., Play], tmp_path: Path) -> None:
    """A service goes, the other is for one address only: the rules of the first go and the stranger is shut out, while rules of others, first and
    last in the list, keep their words and places. With the old plan all is as before."""
    first, last = "deny from 192.0.2.7", "allow 9998/tcp"
    # Rules of ours that somebody has logged, and the level of the log, which is the administrator's.
    added = [line for line in on(FIRST, "ufw show added").splitlines() if f"port {ALONE} " in line]
    assert added
    on(FIRST, f"ufw insert 1 {first} comment theirs && ufw {last}")
    before = rules(FIRST)
    theirs = [before[0], before[-1]]
    assert "192.0.2.7" in theirs[0] and "--dport 9998 " in theirs[1]
    on(FIRST, " && ".join(["ufw logging medium", *(line.replace("ufw allow ", "ufw allow log-all ", 1) for line in added)]))
    try:
        done = play_with(scenario, tmp_path, FIRST, {"model_services": ["{{ tune_pair }}"], "firewall_api_sources": [f"{ADDRESS[SECOND]}/32"]})
        assert done.status == 0, done.output
        now = rules(FIRST)
        assert now[0] == theirs[0] and [line for line in now if line in theirs] == theirs
        assert not [line for line in now if f"--dport {ALONE} " in line]
        assert scan(STRANGER, FIRST, f"{ALONE}-{PAIR}").silent == {ALONE, PAIR}
        assert scan(SECOND, FIRST, f"{PAIR}").open == {PAIR}
        assert "Logging: on (medium)" in on(FIRST, "ufw status verbose")
        done = play("--limit", "tuned")
        assert done.status == 0, done.output
        assert sorted(rules(FIRST)) == sorted(before) and rules(FIRST)[0] == theirs[0]
        assert scan(STRANGER, FIRST, f"{ALONE}-{PAIR}").open == {ALONE, PAIR}
    finally:
        on(FIRST, f"ufw --force delete {first}; ufw delete {last}; ufw logging off")


def test_shut_out(play: Callable[..., Play]) -> None:
    """A rule of somebody else's, harmless while UFW was off, shuts the controller out when it is turned on: the host takes that back by itself.

    The run fails and says so, the host is what it was, and the next run, without that rule, finishes.
    """
    on(SECOND, f"ufw --force disable && ufw insert 1 deny from {CONTROLLER}")
    before = state(SECOND)
    try:
        done = play("--limit", "tuned", variables={"firewall_rollback_timeout": RETURN_AFTER, "ansible_ssh_timeout": 5})
        assert done.status != 0, done.output
        assert done.recap[FIRST]["failed"] == 0, done.output
        said = done.said
        assert "no longer answers by SSH" in said and SECOND in said and "Traceback" not in said, done.output
        wait_until(lambda: not is_pending(SECOND), RETURN_AFTER + 30, "the former state is back")
        assert not is_active(SECOND)
        wait_until(lambda: can_log_in(SECOND), 5, "the controller gets in")
        assert comparable(state(SECOND)) == comparable(before)
    finally:
        on(SECOND, f"ufw --force delete deny from {CONTROLLER}")
    done = play("--limit", "tuned")
    assert done.status == 0, done.output
    assert is_active(SECOND) and policy(SECOND, "INPUT") == "DROP" and can_log_in(SECOND)


def comparable(text: str) -> list[str]:
    """A state without the rollback's own files, and without UFW's empty chains, which stay in the kernel when it is turned off."""
    lines = [line for line in text.splitlines() if "inferops-firewall-return" not in line]
    return [line for line in lines if not line.startswith((":", "*", "COMMIT"))]
