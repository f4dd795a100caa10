# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rule that closes a port, as iptables takes it."""

from __future__ import annotations

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.drain import port as filtered
from packet_filter import Chain

UNIT = "vllm-a.service"


class Tables(Chain):
    """The rules of INPUT of both families."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: str = "") -> None:
        super().__init__("INPUT", fails)
        monkeypatch.setattr(filtered, "run", self.run)

    def run(self, command: str, *arguments: str) -> str:
        error = self.apply(command, *arguments)
        return f"{command}: {error}" if error else ""


def test_a_port_is_closed_once_for_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is closed; the host itself still gets in."""
    tables = Tables(monkeypatch)
    assert filtered.close(UNIT, 8001, "127.0.0.1") == [] and filtered.close(UNIT, 8001, "127.0.0.1") == []
    assert [rule[rule.index("--source") - 1:rule.index("--source") + 2] for rules in tables.rules.values() for rule in rules] == [
        ["!", "--source", "127.0.0.1"], ["!", "--source", "::1"],
    ]
    for rules in tables.rules.values():
        [rule] = rules
        assert {"--syn", "tcp-reset", "8001", f"inferops: drain {UNIT}"} <= set(rule)


def test_it_opens_however_often_it_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the rules of others stay."""
    tables = Tables(monkeypatch)
    other = filtered.rule("vllm-b.service", 8002, "127.0.0.1")[1:]
    own = filtered.rule(UNIT, 8001, "127.0.0.1")[1:]
    tables.rules["iptables"] = [own, other, own]
    assert filtered.open_again(UNIT, 8001, "127.0.0.1") == []
    assert tables.rules["iptables"] == [other]


def test_what_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without IPv6's filter is closed for IPv4."""
    tables = Tables(monkeypatch, fails="ip6tables")
    assert filtered.close(UNIT, 8001, "127.0.0.1") == ["ip6tables: not found"] and len(tables.rules["iptables"]) == 1
    assert filtered.open_again(UNIT, 8001, "127.0.0.1") == [] and tables.rules["iptables"] == []


@pytest.mark.parametrize(("address", "expected"), [
    ("127.0.0.1", {4: "127.0.0.1", 6: "::1"}),
    ("10.0.0.5", {4: "10.0.0.5", 6: "::1"}),
    ("fd00::5", {4: "127.0.0.1", 6: "fd00::5"}),
    ("gpu1", {4: "127.0.0.1", 6: "::1"}),
])
def test_the_host_itself_stays_connected(address: str, expected: dict[int, str]) -> None:
    """At the address at which it reaches the service."""
    assert filtered.sources(address) == expected


def test_a_missing_program_is_an_error() -> None:
    """Not an exception: the service has to stop nevertheless."""
    assert filtered.run("no-such-iptables", "--check", "INPUT").startswith("no-such-iptables: ")
