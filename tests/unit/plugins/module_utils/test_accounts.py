# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The accounts of services: made once, known by their comment, and nobody else's ever touched."""

from __future__ import annotations

import grp
import pwd

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _accounts


class Host:
    """Accounts and groups of a host, and the commands that were to change them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.users: dict[str, pwd.struct_passwd] = {}
        self.groups: dict[str, grp.struct_group] = {}
        self.calls: list[tuple[str, ...]] = []
        monkeypatch.setattr(pwd, "getpwnam", lambda name: self.users[name])
        monkeypatch.setattr(pwd, "getpwall", lambda: list(self.users.values()))
        monkeypatch.setattr(grp, "getgrnam", lambda name: self.groups[name])
        monkeypatch.setattr(grp, "getgrgid", lambda number: next(group for group in self.groups.values() if group.gr_gid == number))
        monkeypatch.setattr(grp, "getgrall", lambda: list(self.groups.values()))
        monkeypatch.setattr(_accounts, "_run", lambda *command: self.calls.append(command))

    def user(self, name: str, comment: str, number: int = 900) -> None:
        self.users[name] = pwd.struct_passwd((name, "x", number, number, comment, "/home", "/bin/false"))
        self.groups[name] = grp.struct_group((name, "x", number, []))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def ensure(check_mode: bool = False) -> list[str]:
    return _accounts.ensure("inferops-a", "a", "/c/a", ["inferops", "render"], check_mode)


def test_one_is_made_that_cannot_log_in(host: Host) -> None:
    assert ensure(check_mode=True) == ["account inferops-a"] and host.calls == []
    assert ensure() == ["account inferops-a"]
    [command] = host.calls
    assert command[:3] == ("useradd", "--system", "--user-group") and command[-1] == "inferops-a"
    assert {"--no-create-home", "/usr/sbin/nologin", "inferops service a", "inferops,render"} <= set(command)


def test_nothing_is_done_twice(host: Host) -> None:
    host.user("inferops-a", "inferops service a")
    for number, name in enumerate(("inferops", "render")):
        host.groups[name] = grp.struct_group((name, "x", 800 + number, ["inferops-a"]))
    assert ensure() == [] and host.calls == []


def test_a_group_that_came_later_is_added(host: Host) -> None:
    host.user("inferops-a", "inferops service a")
    host.groups["inferops"] = grp.struct_group(("inferops", "x", 800, ["inferops-a"]))
    assert ensure() == ["inferops-a in render"]
    assert host.calls == [("usermod", "--append", "--groups", "render", "inferops-a")]


@pytest.mark.parametrize("comment", ["Somebody,,,", "", "inferops service b"])
def test_somebody_elses_is_refused_and_not_removed(host: Host, comment: str) -> None:
    host.user("inferops-a", comment)
    with pytest.raises(RuntimeError, match="was not created by inferops.gpu for service a"):
        ensure()
    if "service" not in comment:
        assert not _accounts.remove("inferops-a")
    assert host.calls == []


def test_a_group_of_that_name_is_taken_only_while_nobody_is_in_it(host: Host) -> None:
    host.groups["inferops-a"] = grp.struct_group(("inferops-a", "x", 950, ["somebody"]))
    with pytest.raises(RuntimeError, match="a group inferops-a with members"):
        ensure()
    host.groups["inferops-a"] = grp.struct_group(("inferops-a", "x", 950, []))
    ensure()
    assert host.calls[0][2:4] == ("--gid", "inferops-a")


def test_it_goes_with_its_group(host: Host) -> None:
    host.user("inferops-a", "inferops service a")
    assert _accounts.is_ours("inferops-a") and _accounts.remove("inferops-a")
    assert host.calls == [("userdel", "inferops-a"), ("groupdel", "inferops-a")]
    assert not _accounts.remove("inferops-gone") and not _accounts.is_ours("inferops-gone")


def test_facts_have_ours_and_those_that_could_be_in_the_way(host: Host) -> None:
    host.user("inferops-a", "inferops service a", 901)
    host.user("llm-b", "inferops service b", 902)
    host.user("inferops-mine", "me", 903)
    host.user("other", "me", 904)
    found: dict[str, Any] = _accounts.read("inferops-")
    assert sorted(found) == ["inferops-a", "inferops-mine", "llm-b"]
    assert found["inferops-a"] == {"uid": 901, "group": "inferops-a", "groups": [], "home": "/home", "comment": "inferops service a"}
