# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What comes between: other people's rules, services that go, a change that shuts the controller out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from firewall import is_active, policy, rules, state
from lab import ENVIRONMENT, ROOT, Play, Scenario, wait_until
from reach import ADDRESS, ALONE, CONTROLLER, FIRST, PAIR, SECOND, STRANGER, can_log_in, on, scan

RETURN_AFTER = 20


def play_with(scenario: Scenario, folder: Path, variables: dict[str, dict[str, Any]]) -> Play:
    """A run with some hosts' variables laid over the inventory's."""
    overlay = {"all": {"hosts": variables}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    changed = Scenario((*scenario.inventories, folder), scenario.playbook, "tuned")
    done = subprocess.run(
        changed.command(), cwd=ROOT, env=ENVIRONMENT, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=300,
    )
    return Play(done.returncode, done.stdout, 0)


def test_others_rules_stay_and_a_removed_services_go(scenario: Scenario, tmp_path: Path) -> None:
    """A change of ours next to rules of others, first and last in the list: theirs keep their words and places, the service's port is shut."""
    first, last = "insert 1 deny from 192.0.2.7 comment theirs", "allow 9998/tcp"
    on(FIRST, f"ufw {first} && ufw {last}")
    before = rules(FIRST)
    of_alone = [line for line in before if f"--dport {ALONE} " in line]
    assert of_alone and "192.0.2.7" in before[0] and "--dport 9998" in before[-1]
    try:
        done = play_with(scenario, tmp_path, {FIRST: {"model_services": ["{{ tune_pair }}"]}})
        assert done.status == 0, done.output
        assert rules(FIRST) == [line for line in before if line not in of_alone]
        found = scan(STRANGER, FIRST, f"{ALONE}-{PAIR}")
        assert (found.silent, found.open) == ({ALONE}, {PAIR})
    finally:
        on(FIRST, f"ufw --force delete {first.partition('1 ')[2].partition(' comment')[0]} && ufw delete {last}")


def test_sources_are_who_gets_in(scenario: Scenario, tmp_path: Path) -> None:
    """Named sources instead of all private networks: the stranger no longer gets the API, the peer does. Without the wish it is as before."""
    done = play_with(scenario, tmp_path, {FIRST: {"firewall_api_sources": [f"{ADDRESS[SECOND]}/32"]}})
    assert done.status == 0, done.output
    assert scan(STRANGER, FIRST, f"{ALONE}-{PAIR}").silent == {ALONE, PAIR}
    assert scan(SECOND, FIRST, f"{ALONE}-{PAIR}").open == {ALONE, PAIR}
    done = play_with(scenario, tmp_path, {FIRST: {}})
    assert done.status == 0, done.output
    assert scan(STRANGER, FIRST, f"{ALONE}-{PAIR}").open == {ALONE, PAIR}


def test_shut_out(scenario: Scenario, play: Callable[..., Play], tmp_path: Path) -> None:
    """A rule of somebody else's, harmless while UFW was off, shuts the controller out when it is turned on: the host takes that back by itself.

    The run fails and says so, the host is what it was, and the next run, without that rule, finishes.
    """
    on(SECOND, f"ufw --force disable && ufw insert 1 deny from {CONTROLLER}")
    before = state(SECOND)
    try:
        done = play("--limit", "tuned", variables={"firewall_return_after": RETURN_AFTER, "ansible_ssh_timeout": 5})
        assert done.status != 0, done.output
        assert done.recap[FIRST]["failed"] == 0, done.output
        said = " ".join(done.output.split())
        assert "no longer answers by SSH" in said and SECOND in said and "Traceback" not in said, done.output
        wait_until(lambda: not is_active(SECOND), RETURN_AFTER + 10, "the former state is back")
        wait_until(lambda: can_log_in(SECOND), 5, "the controller gets in")
        assert comparable(state(SECOND)) == comparable(before)
    finally:
        on(SECOND, f"ufw --force delete deny from {CONTROLLER}")
    done = play("--limit", "tuned")
    assert done.status == 0, done.output
    assert is_active(SECOND) and policy(SECOND, "INPUT") == "DROP" and can_log_in(SECOND)


def comparable(text: str) -> list[str]:
    """A state without the way back's own files, and without UFW's empty chains, which stay in the kernel when it is turned off."""
    lines = [line for line in text.splitlines() if "inferops-firewall-return" not in line]
    return [line for line in lines if not line.startswith((":", "*", "COMMIT"))]


def test_firewall_that_is_not_wanted_is_left_alone(play: Callable[..., Play]) -> None:
    """Switched off: nothing is removed, and nothing that somebody takes away is put back."""
    on(FIRST, f"ufw --force delete allow proto tcp from 10.0.0.0/8 to any port {ALONE}")
    before = state(FIRST)
    done = play("--limit", "tuned", variables={"firewall_enabled": False})
    assert done.status == 0, done.output
    assert state(FIRST) == before
    done = play("--limit", "tuned")
    assert done.status == 0, done.output
    assert [line for line in rules(FIRST) if "10.0.0.0/8" in line and f"--dport {ALONE} " in line]
