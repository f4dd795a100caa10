# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where SSH comes in, who else manages the firewall, and the files of the rollback."""

from __future__ import annotations

import json

from pathlib import Path

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _systemd
from ansible_collections.inferops.gpu.plugins.module_utils._firewall import others, rollback, ssh


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1 50000 192.0.2.9 2222", ssh.Connection("192.0.2.1", 50000, "192.0.2.9", 2222)),
        ("::ffff:192.0.2.1 50000 ::ffff:192.0.2.9 22", ssh.Connection("192.0.2.1", 50000, "192.0.2.9", 22)),
        ("fe80::1%eth0 50000 fe80::2%eth0 22", ssh.Connection("fe80::1", 50000, "fe80::2", 22)),
        ("", None),
        ("192.0.2.1 x 192.0.2.9 22", None),
    ],
)
def test_connection(text: str, expected: ssh.Connection | None) -> None:
    assert ssh.parse_connection(text) == expected


def process(proc: Path, pid: int, parent: int, environment: str = "", name: str = "python3", title: str = "") -> None:
    """A process below a stand-in for /proc."""
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "status").write_text(f"Name:\t{name}\nPPid:\t{parent}\n")
    (folder / "environ").write_text(environment)
    (folder / "comm").write_text(f"{name}\n")
    (folder / "cmdline").write_text(title)


def test_sudo_hides_the_connection_from_its_children_only(tmp_path: Path) -> None:
    for pid, parent in ((30, 20), (20, 10), (10, 1), (1, 0)):
        process(tmp_path, pid, parent)
    (tmp_path / "10" / "environ").write_text("HOME=/home/ops\0SSH_CONNECTION=192.0.2.1 5 192.0.2.9 2222\0X=1\0")
    found = ssh.present_connection(30, str(tmp_path))
    assert found is not None and (found.client, found.port) == ("192.0.2.1", 2222)
    assert ssh.present_connection(1, str(tmp_path)) is None


def test_ports_of_the_settings() -> None:
    text = "port 22\nport 2222\nlistenaddress [::]:22\nlistenaddress 0.0.0.0:2200\nx11displayoffset 10\nusedns no\n"
    assert ssh.settings_ports(text) == {22, 2222, 2200}
    assert ssh.settings_ports("") == set()


def test_ports_of_systemds_sockets() -> None:
    active = "Listen=[::]:22 (Stream)\nListen=0.0.0.0:2200 (Stream)\nListen=/run/x (Stream)\nActiveState=active\n"
    text = f"{active}\nListen=[::]:23 (Stream)\nActiveState=inactive\n"
    assert ssh.socket_ports(text) == {22, 2200}


def test_listening_sockets_of_servers_and_not_of_sessions(tmp_path: Path) -> None:
    """A session listens on what its user forwards."""
    process(tmp_path, 5, 1, name="sshd", title="sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups")
    process(tmp_path, 6, 5, name="sshd", title="sshd: ops@notty")
    process(tmp_path, 7, 1, name="nginx", title="nginx")
    process(tmp_path, 8, 1, name="dropbear", title="/usr/sbin/dropbear")
    rows = [
        {"port": 22, "address": "0.0.0.0", "pid": 5},
        {"port": 23, "address": "127.0.0.1", "pid": 5},
        {"port": 7000, "address": "0.0.0.0", "pid": 6},
        {"port": 80, "address": "::", "pid": 7},
        {"port": 2022, "address": "::", "pid": 8},
        {"port": 9, "address": "::", "pid": None},
    ]
    assert ssh.listening_ports(rows, str(tmp_path)) == {22, 2022}


def ruleset(*entries: dict[str, object]) -> str:
    """What `nft --json list ruleset` prints."""
    return json.dumps({"nftables": [{"metainfo": {}}, *entries]})


CHAIN = {"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input", "policy": "accept"}
RULE = {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": []}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("not json", False),
        (ruleset({"table": {"family": "inet", "name": "filter"}}, {"chain": CHAIN}), False),
        (ruleset({"chain": CHAIN}, RULE), True),
        (ruleset({"chain": {**CHAIN, "policy": "drop"}}), True),
        (ruleset({"chain": {**CHAIN, "hook": "forward"}}, RULE), False),
        (ruleset({"chain": {**CHAIN, "family": "ip"}}, {"rule": {**RULE["rule"], "family": "ip"}}), False),
    ],
    ids=["no nft", "nonsense", "as Debian ships it", "a rule", "a policy", "forwarding", "iptables"],
)
def test_nftables_of_others(text: str, expected: bool) -> None:
    assert others.filters_input(text) is expected


@pytest.mark.parametrize(
    ("active", "packages", "expected"),
    [
        ("inactive inactive", ["ufw"], []),
        ("active inactive", [], ["firewalld is active"]),
        ("inactive active", [], ["nftables.service is active, with rules for incoming packets"]),
        ("inactive inactive", ["netfilter-persistent"], ["the package netfilter-persistent is installed, which apt would remove with its rules"]),
        ("inactive inactive", ["netfilter-persistent", "ufw"], []),
    ],
)
def test_other_managers(monkeypatch: pytest.MonkeyPatch, active: str, packages: list[str], expected: list[str]) -> None:
    said = {"systemctl": "\n\n".join(f"ActiveState={state}" for state in active.split()) + "\n", "nft": ruleset({"chain": CHAIN}, RULE)}
    monkeypatch.setattr(others._host, "run", lambda command, *arguments: said[command])
    assert others.managers(packages) == expected


@pytest.fixture
def firewall_rollback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> rollback.Rollback:
    """A rollback in a folder, without systemd; UFW's files are two of the folder's own."""
    monkeypatch.setattr(_systemd, "systemctl", lambda *arguments: "")
    monkeypatch.setattr(rollback, "ARMED", str(tmp_path / "armed"))
    monkeypatch.setattr(rollback, "CHANGED", (str(tmp_path / "user.rules"), str(tmp_path / "missing")))
    (tmp_path / "user.rules").write_text("first")
    made = rollback.Rollback(str(tmp_path / "state"))
    (tmp_path / "state" / "firewall").mkdir(parents=True)
    return made


def kept(tmp_path: Path) -> Path:
    """What is kept of the former state."""
    return tmp_path / "state" / "firewall" / "former"


def test_of_two_unconfirmed_changes_the_older_state_is_kept(firewall_rollback: rollback.Rollback, tmp_path: Path) -> None:
    """A run that died left the firewall half changed: that is nothing to go back to."""
    firewall_rollback.keep_former(True, True, {"iptables": {"INPUT": "DROP"}}, 5)
    (tmp_path / "armed").symlink_to("timer")
    (tmp_path / "user.rules").write_text("second")
    firewall_rollback.keep_former(False, False, {}, 6)
    former = kept(tmp_path)
    assert (former / str(tmp_path / "user.rules").lstrip("/")).read_text() == "first"
    assert (former / "policies").read_text() == "iptables INPUT DROP\n"
    assert (former / "enabled").exists() and (former / "boot").exists()
    assert firewall_rollback.client_port() == 6
    assert firewall_rollback.is_pending()


def test_a_state_kept_for_a_change_that_was_never_begun_is_out_of_date(firewall_rollback: rollback.Rollback, tmp_path: Path) -> None:
    """The timer was not armed, and the host's own people may have changed the firewall since."""
    firewall_rollback.keep_former(True, True, {}, 5)
    assert not firewall_rollback.is_pending()
    (tmp_path / "user.rules").write_text("second")
    firewall_rollback.keep_former(False, True, {}, 6)
    assert (kept(tmp_path) / str(tmp_path / "user.rules").lstrip("/")).read_text() == "second"
    assert not (kept(tmp_path) / "enabled").exists()


def test_disarmed(firewall_rollback: rollback.Rollback, tmp_path: Path) -> None:
    firewall_rollback.keep_former(False, False, {}, 5)
    (tmp_path / "state" / "firewall" / "returned").write_text("2026-01-01T00:00:00Z\n")
    assert firewall_rollback.returned() == "2026-01-01T00:00:00Z"
    firewall_rollback.disarm()
    assert not firewall_rollback.is_pending() and not kept(tmp_path).exists() and firewall_rollback.returned() == ""
    firewall_rollback.disarm()


def test_what_is_kept_is_roots_alone(firewall_rollback: rollback.Rollback, tmp_path: Path) -> None:
    place = firewall_rollback.back_up({4: "# iptables\n", 6: ""})
    assert place is not None
    assert Path(place).stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in Path(place).rglob("*") if path.is_file()} == {0o600}
    (Path(place) / "iptables-save").write_text("mine")
    assert firewall_rollback.back_up({4: "other", 6: ""}) is None
    assert (Path(place) / "iptables-save").read_text() == "mine"
