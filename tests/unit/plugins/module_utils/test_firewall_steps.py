# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be done about a firewall, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils._firewall import rules, steps
from ansible_collections.inferops.gpu.plugins.module_utils._firewall.rules import Rule
from ansible_collections.inferops.gpu.plugins.module_utils._firewall.state import State
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.host.firewall import is_in_force

SSH4 = Rule(4, "allow", "22", "tcp", "0.0.0.0/0", "inferops: ssh")
SSH6 = Rule(6, "allow", "22", "tcp", "::/0", "inferops: ssh")
API = Rule(4, "allow", "8001", "tcp", "10.0.0.0/8", "inferops: api a")
PEER = Rule(4, "allow", "", "any", "10.0.0.2", "inferops: peer b")
WANTED = [API, SSH4, SSH6, PEER]
BARE = State(boot=True, policies={"INPUT": "DROP", "OUTPUT": "ACCEPT"}, logging="low")
RIGHT = State(True, True, True, True, True, True, BARE.policies, "off", (SSH4, SSH6, API, PEER))


def commands(state: State, wanted: list[Rule] | None = None, logging: str = "off") -> list[str]:
    """The commands of all steps; those that could shut the controller out with a ! before them."""
    found = steps.plan(state, WANTED if wanted is None else wanted, logging)
    return [("!" if step.risky else "") + " ".join(step.command) for step in found.steps]


def test_a_bare_host() -> None:
    """SSH first, then the rest, and only then it is turned on."""
    assert commands(BARE) == [
        "allow proto tcp from 0.0.0.0/0 to any port 22 comment inferops: ssh",
        "allow proto tcp from ::/0 to any port 22 comment inferops: ssh",
        "allow proto tcp from 10.0.0.0/8 to any port 8001 comment inferops: api a",
        "allow from 10.0.0.2 to any comment inferops: peer b",
        "logging off",
        "!--force enable",
    ]


def test_nothing_to_do() -> None:
    assert commands(RIGHT) == []
    assert commands(replace(RIGHT, rules=(*RIGHT.rules, Rule(4, "deny", "80", "tcp", "0.0.0.0/0", "mine")))) == []
    # Somebody would rather reject than drop: nobody gets in either way.
    assert commands(replace(RIGHT, policies={"INPUT": "REJECT", "OUTPUT": "ACCEPT"})) == []


CHANGES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("another rule", {"rules": (SSH4, SSH6, API)}, ["allow from 10.0.0.2 to any comment inferops: peer b"]),
    ("a rule that is not wanted", {"rules": (*RIGHT.rules, replace(API, port="8002"))}, [
        "delete allow proto tcp from 10.0.0.0/8 to any port 8002 comment inferops: api a",
    ]),
    ("another comment on our rule", {"rules": (SSH4, SSH6, replace(API, comment="inferops: api old"), PEER)}, [
        "allow proto tcp from 10.0.0.0/8 to any port 8001 comment inferops: api a",
    ]),
    ("SSH moved", {"rules": (replace(SSH4, port="2222"), SSH6, API, PEER)}, [
        "!allow proto tcp from 0.0.0.0/0 to any port 22 comment inferops: ssh",
        "!delete allow proto tcp from 0.0.0.0/0 to any port 2222 comment inferops: ssh",
    ]),
    ("open to all", {"policies": {"INPUT": "ACCEPT", "OUTPUT": "ACCEPT"}}, ["!default deny incoming"]),
    ("nothing gets out, which is the administrator's to say", {"policies": {"INPUT": "DROP", "OUTPUT": "DROP"}}, []),
    ("not started", {"active": False}, ["start"]),
    ("not started, and flushed", {"active": False, "loaded": False}, ["!reload", "start"]),
    ("somebody has ours logged", {"rules": (SSH4, SSH6, replace(API, action="allow_log"), PEER)}, []),
    ("somebody limits ours", {"rules": (SSH4, SSH6, replace(API, action="limit_log-all"), PEER)}, [
        "allow proto tcp from 10.0.0.0/8 to any port 8001 comment inferops: api a",
    ]),
    ("a logged rule that is not wanted", {"rules": (*RIGHT.rules, replace(API, action="allow_log", port="8002"))}, [
        "delete allow log proto tcp from 10.0.0.0/8 to any port 8002 comment inferops: api a",
    ]),
    ("a rule that is not wanted, all of it logged", {"rules": (*RIGHT.rules, replace(PEER, action="limit_log-all", source="10.0.0.3"))}, [
        "delete limit log-all from 10.0.0.3 to any comment inferops: peer b",
    ]),
    ("not in the kernel", {"loaded": False}, ["!reload"]),
    ("flushed, with a rule to add", {"loaded": False, "rules": (SSH4, SSH6, API)}, ["!reload", "allow from 10.0.0.2 to any comment inferops: peer b"]),
    ("turned off", {"enabled": False}, ["!--force enable"]),
    ("not at boot", {"boot": False}, ["boot"]),
    ("it logs", {"logging": "high"}, ["logging off"]),
    ("no IPv6 in its settings", {"ipv6_on": False, "rules": (SSH4, API, PEER)}, [
        "!ipv6", "!reload", "!allow proto tcp from ::/0 to any port 22 comment inferops: ssh",
    ]),
]


@pytest.mark.parametrize(("changes", "expected"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_what_differs(changes: dict[str, Any], expected: list[str]) -> None:
    assert commands(replace(RIGHT, **changes)) == expected


LEVELS = [
    ("the host's own", {"logging": "high"}, []),
    ("the host's own, of a firewall that is off", {"enabled": False, "logging": "high"}, ["!--force enable"]),
    ("the package's own", {"enabled": False, "logging": "low"}, ["logging off", "!--force enable"]),
    ("what an earlier version set", {"logging": "off"}, []),
]


@pytest.mark.parametrize(("changes", "expected"), [case[1:] for case in LEVELS], ids=[case[0] for case in LEVELS])
def test_the_level_of_the_log_is_the_hosts_own(changes: dict[str, Any], expected: list[str]) -> None:
    assert commands(replace(RIGHT, **changes), logging="") == expected


def test_removals_of_what_somebody_has_logged() -> None:
    """UFW deletes a rule for its very action and log alone, and says "Could not delete non-existent rule" of all others."""
    state = replace(RIGHT, rules=(SSH4, SSH6, replace(API, action="allow_log-all"), PEER))
    found = steps.removals(state, ["inferops: api a"])
    assert [" ".join(step.command) for step in found.steps] == ["delete allow log-all proto tcp from 10.0.0.0/8 to any port 8001 comment inferops: api a"]


def test_a_rule_on_an_interface_with_our_comment_is_told_of() -> None:
    """It is none of ours, and would stay in silence when the service goes."""
    copied = replace(API, elsewhere="in_eth0")
    found = steps.plan(replace(RIGHT, rules=(*RIGHT.rules, copied)), WANTED, "off")
    assert not found.steps and "(in_eth0)" in found.warnings[0] and "ufw status numbered" in found.warnings[0]


def test_new_rules_come_before_old_ones_go() -> None:
    found = commands(replace(RIGHT, rules=(SSH4, SSH6, replace(API, port="8000"), PEER)))
    assert [command.split()[0] for command in found] == ["allow", "delete"]


@pytest.mark.parametrize("comment", ["", "somebody's"])
@pytest.mark.parametrize("action", ["allow", "allow_log", "limit"])
def test_anothers_rule_that_says_the_same_stands_in(action: str, comment: str) -> None:
    """UFW would write our comment over it."""
    theirs = replace(API, action=action, comment=comment)
    assert commands(replace(RIGHT, rules=(SSH4, SSH6, theirs, PEER))) == []
    # And when ours is not wanted any more, it stays.
    assert commands(replace(RIGHT, rules=(SSH4, SSH6, theirs, PEER)), [SSH4, SSH6, PEER]) == []


def test_anothers_rule_that_says_otherwise_stays_and_is_told_of() -> None:
    """UFW would put ours in its place."""
    theirs = replace(API, action="deny", comment="")
    found = steps.plan(replace(RIGHT, rules=(SSH4, SSH6, theirs, PEER)), WANTED, "off")
    assert not found.steps
    assert "deny port 8001/tcp from 10.0.0.0/8" in found.warnings[0]


def test_anothers_rule_that_shuts_ssh_is_refused() -> None:
    theirs = replace(SSH4, action="deny", comment="")
    with pytest.raises(steps.Refused, match="ufw delete deny proto tcp from 0.0.0.0/0 to any port 22"):
        commands(replace(RIGHT, rules=(theirs, SSH6, API, PEER)))


def test_without_ipv6_in_the_kernel_there_are_no_rules_for_it() -> None:
    listed = [{"port": 22, "protocol": "tcp", "sources": [source], "comment": rules.SSH} for source in ("0.0.0.0/0", "::/0")]
    assert steps.wanted_rules(listed, ipv6=True) == [SSH4, SSH6]
    assert steps.wanted_rules(listed, ipv6=False) == [SSH4]


def test_removals_are_of_ours_alone_and_never_of_ssh() -> None:
    theirs = Rule(4, "allow", "8001", "tcp", "192.0.2.0/24", "api a")
    state = replace(RIGHT, rules=(*RIGHT.rules, theirs))
    found = steps.removals(state, ["inferops: api a", "api a", "inferops: ssh"])
    assert [" ".join(step.command) for step in found.steps] == ["delete allow proto tcp from 10.0.0.0/8 to any port 8001 comment inferops: api a"]
    assert not found.risky


def test_a_single_address_bears_no_length() -> None:
    assert rules.make(None, None, "10.0.0.2/32", "inferops: peer b") == PEER
    with pytest.raises(rules.Unreadable):
        rules.make(None, None, "10.0.0.2/8", "inferops: peer b")


PLAN = {
    "logging": "off",
    "rules": [
        {"kind": "ssh", "services": [], "port": 22, "protocol": "tcp", "sources": ["0.0.0.0/0"], "comment": "inferops: ssh"},
        {"kind": "ssh", "services": [], "port": 22, "protocol": "tcp", "sources": ["::/0"], "comment": "inferops: ssh"},
        {"kind": "api", "services": ["a"], "port": 8001, "protocol": "tcp", "sources": ["10.0.0.0/8"], "comment": "inferops: api a"},
        {"kind": "peer", "services": ["b", "c"], "port": None, "protocol": None, "sources": ["10.0.0.2"], "comment": "inferops: peer b"},
    ],
}


def test_in_force() -> None:
    """What the plan compares before the role does anything."""
    right = {"rules": PLAN["rules"], "logging": PLAN["logging"]}
    assert is_in_force(RIGHT.to_dict(), **right)
    assert not is_in_force(replace(RIGHT, pending=True).to_dict(), **right)
    assert not is_in_force(replace(RIGHT, loaded=False).to_dict(), **right)
    assert not is_in_force(replace(RIGHT, rules=(replace(SSH4, action="deny", comment=""),)).to_dict(), **right)
    assert not is_in_force({}, **right)
