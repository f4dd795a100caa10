# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The firewall of one machine, as UFW and the kernel tell it; what is not ours stays."""

from __future__ import annotations

from collections.abc import Callable

from lab import Play
from testinfra.host import Host

RULES = "iptables-save | grep -- '^-A ufw-user-input '"


def rules(host: Host) -> list[str]:
    """UFW's rules for incoming packets in the kernel, in their order."""
    return list(host.run(RULES).stdout.splitlines())


def test_on_and_closed(host: Host) -> None:
    """On, also at the next boot; incoming is denied in both families, and what is open bears our mark."""
    said = host.check_output("ufw status verbose")
    assert "Status: active" in said and "Default: deny (incoming), allow (outgoing)" in said
    assert "ENABLED=yes" in host.file("/etc/ufw/ufw.conf").content_string
    for command in ("iptables-save", "ip6tables-save"):
        assert ":INPUT DROP" in host.check_output(command)
    opened = [line for line in said.splitlines() if "ALLOW IN" in line]
    assert opened and not [line for line in opened if "# inferops: " not in line]
    assert {line.split()[0] for line in opened} == {"22/tcp", "8001/tcp"}


def test_former_rules_were_kept(host: Host) -> None:
    """One backup from before the first change, for root alone; the change itself was confirmed."""
    place = host.file("/var/lib/inferops/firewall/before-first-change")
    assert place.is_directory and place.mode == 0o700 and place.user == "root"
    assert "ENABLED=no" in host.file(f"{place.path}/etc/ufw/ufw.conf").content_string
    assert host.run("systemctl list-timers --all --no-legend 'inferops-*'").stdout == ""
    assert not host.file("/var/lib/inferops/firewall/former").exists


def test_rules_of_others_stay(host: Host, play: Callable[..., Play]) -> None:
    """Ours that somebody has taken away is put back, theirs keep their words; a service that goes takes its rule with it."""
    host.run_expect([0], "ufw allow 9998/tcp && ufw --force delete allow proto tcp from 10.0.0.0/8 to any port 8001")
    theirs = [line for line in rules(host) if "--dport 9998 " in line]
    assert theirs and not [line for line in rules(host) if "10.0.0.0/8" in line and "--dport 8001 " in line]
    done = play()
    assert done.status == 0, done.output
    assert [line for line in rules(host) if "10.0.0.0/8" in line and "--dport 8001 " in line]
    gone = play(variables={"model_services": [{"name": "qwen3-235b", "state": "absent"}]})
    assert gone.status == 0, gone.output
    assert not [line for line in rules(host) if "--dport 8001 " in line]
    assert [line for line in rules(host) if "--dport 9998 " in line] == theirs
    assert play().status == 0
    assert [line for line in rules(host) if "--dport 8001 " in line]


def test_firewall_that_is_not_wanted_is_left_alone(host: Host, play: Callable[..., Play]) -> None:
    """Switched off: nothing is removed, and nothing that somebody takes away is put back."""
    host.run_expect([0], "ufw --force delete allow proto tcp from 10.0.0.0/8 to any port 8001")
    before = host.check_output("iptables-save | sed -e '/^#/d' -e 's/\\[[0-9:]*\\]//'")
    done = play(variables={"firewall_enabled": False})
    assert done.status == 0, done.output
    assert host.check_output("iptables-save | sed -e '/^#/d' -e 's/\\[[0-9:]*\\]//'") == before
