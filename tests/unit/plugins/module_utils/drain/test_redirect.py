# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rule that redirects a port, as iptables takes it."""

from __future__ import annotations

import shlex

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.drain import port as filtered, redirect
from packet_filter import Chain

UNIT = "inferops-green-a.service"


class Tables(Chain):
    """The rules of PREROUTING of both families."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: str = "") -> None:
        super().__init__("PREROUTING", fails)
        monkeypatch.setattr(filtered, "output", self.output)
        monkeypatch.setattr(redirect.shutil, "which", lambda name: "/usr/sbin/" + name)

    def output(self, command: str, *arguments: str) -> tuple[str, str]:
        """What it prints, and its error. It lists rules as iptables does, with quoted comments."""
        table, name, action, *rest = arguments
        assert (table, name) == ("--table", "nat")
        if action != "--list-rules":
            return "", self.apply(command, action, *rest)
        if command == self.fails:
            return "", "not found"
        lines = [" ".join(shlex.quote(word).replace("'", '"') for word in ("-A", "PREROUTING", *rule)) for rule in self.rules[command]]
        return "-P PREROUTING ACCEPT\n" + "".join(f"{line}\n" for line in lines), ""


def test_the_rule_redirects_new_connections_to_the_hosts_own_addresses() -> None:
    """No packet of a connection that exists, and none that the host forwards; the address stays."""
    assert " ".join(redirect.rule(UNIT, 8001, "", 18001)) == (
        f"PREROUTING --protocol tcp --match addrtype --dst-type LOCAL --dport 8001 --syn --match comment --comment inferops: redirect {UNIT} "
        "--jump DNAT --to-destination :18001"
    )


@pytest.mark.parametrize(("address", "expected"), [
    ("0.0.0.0", {"iptables": [""]}), ("::", {"iptables": [""], "ip6tables": [""]}), ("10.0.0.5", {"iptables": ["10.0.0.5"]}),
    ("fd00::5", {"ip6tables": ["fd00::5"]}), ("gpu1", {"iptables": [""], "ip6tables": [""]}),
])
def test_it_is_there_once_for_the_families_of_the_service(address: str, expected: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is set, and only for the address on which the service listens."""
    tables = Tables(monkeypatch)
    assert redirect.switch(UNIT, 8001, address, 18001) == redirect.switch(UNIT, 8001, address, 18001) == []
    rules = {command: [rule for rule in rules if "DNAT" in rule] for command, rules in tables.rules.items()}
    found = {
        command: [rule[rule.index("--destination") + 1] if "--destination" in rule else "" for rule in own] for command, own in rules.items() if own
    }
    assert found == expected


def test_it_goes_however_often_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of others stay."""
    tables = Tables(monkeypatch)
    own, other = (redirect.rule(unit, 8001, "", 18001)[1:] for unit in (UNIT, "inferops-green-b.service"))
    tables.rules["iptables"] = [own, other, own]
    assert redirect.switch_back(UNIT) == [] and tables.rules["iptables"] == [other]


def test_what_fails_redirects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the clients would otherwise lose the service when it restarts."""
    tables = Tables(monkeypatch, fails="ip6tables")
    assert redirect.switch(UNIT, 8001, "::", 18001) == ["ip6tables: not found"] and tables.rules == {"iptables": [], "ip6tables": []}


def test_redirected_connections_continue_when_the_redirect_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule keeps the kernel tracking them until the unit has stopped: it is there before the redirect, and stays longer."""
    tables = Tables(monkeypatch)
    redirect.switch(UNIT, 8001, "0.0.0.0", 18001)
    holding = redirect.holding_rule(UNIT, 18001)[1:]
    assert tables.rules["iptables"][1] == holding and "conntrack" in holding and "--jump" not in holding
    assert redirect.switch_back(UNIT) == [] and tables.rules["iptables"] == [holding]
    assert redirect.release(UNIT) == redirect.release(UNIT) == [] and tables.rules["iptables"] == []


def test_a_rule_of_another_port_or_address_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that died has set it, and the service has another port since; whatever the family."""
    tables = Tables(monkeypatch)
    for address, port in (("0.0.0.0", 8001), ("fd00::5", 8002)):
        assert redirect.switch(UNIT, port, address, port + 10000) == []
    assert redirect.switch_back(UNIT) == redirect.release(UNIT) == [] and tables.rules == {"iptables": [], "ip6tables": []}


def test_rules_that_cannot_be_read_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be there: another program has the lock, say. A family without a program has none."""
    tables = Tables(monkeypatch, fails="iptables")
    assert redirect.switch_back(UNIT) == ["iptables: not found"] and redirect.unusable("0.0.0.0") == ["iptables: not found"]
    monkeypatch.setattr(redirect.shutil, "which", lambda name: None)
    assert redirect.switch_back(UNIT) == [] and tables.rules == {"iptables": [], "ip6tables": []}
