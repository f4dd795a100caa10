# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is open and what is shut, by real connections from other machines, and what UFW and the kernel say of it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from firewall import policy, rules, status
from reach import ADDRESS, ALONE, EVERY, FIRST, LISTENING, PAIR, SECOND, SSH_PORT, STRANGER, Answers, can_log_in, on, restart, scan
from testinfra.host import Host

# What a stranger of a private network may reach: SSH, and the API of the services, which the head alone has.
FOR_ALL = {FIRST: {22, ALONE, PAIR}, SECOND: {2222}}
BOTH = pytest.mark.parametrize("name", [FIRST, SECOND])


@BOTH
def test_ufw_says(name: str) -> None:
    """On, deny incoming, allow outgoing. No log, but where the owner had turned UFW on before us (test_3_interrupted): the level is his."""
    said = status(name)
    assert "Status: active" in said
    assert ("Logging: on (low)" if name == SECOND else "Logging: off") in said
    assert re.search(r"^Default: deny \(incoming\), allow \(outgoing\)", said, re.MULTILINE), said
    # Before the first reboot too.
    assert on(name, "systemctl is-active ufw") == "active"


@BOTH
def test_every_rule_names_its_owner(name: str) -> None:
    """Nobody has to guess where a rule comes from."""
    listed = [line for line in status(name).splitlines() if "ALLOW IN" in line]
    assert listed
    assert not [line for line in listed if "# inferops: " not in line]


@BOTH
@pytest.mark.parametrize("family", [4, 6])
def test_kernel_has_the_rules(name: str, family: int) -> None:
    """Both families drop what no rule lets in, and let SSH and the APIs in without a limit on their rate."""
    assert policy(name, "INPUT", family) == "DROP"
    assert policy(name, "OUTPUT", family) == "ACCEPT"
    lines = rules(name, family)
    ports = {int(port) for line in lines for port in re.findall(r"--dport (\d+)", line)}
    assert ports == FOR_ALL[name]
    assert not [line for line in lines if not line.endswith("-j ACCEPT")], lines
    assert not [line for line in lines if "recent" in line or "limit" in line]


# From where to where, and whether over IPv6. One machine stands for both there: it has the ports that make the difference.
WAYS = [(STRANGER, FIRST, False), (STRANGER, SECOND, False), (STRANGER, FIRST, True), (FIRST, SECOND, False), (SECOND, FIRST, False)]


@pytest.fixture(scope="module")
def scans() -> dict[tuple[str, str, bool], Answers]:
    """What became of a connection to each port, side by side: they wait more than they work."""
    with ThreadPoolExecutor(len(WAYS)) as pool:
        return dict(zip(WAYS, pool.map(lambda way: scan(way[0], way[1], ipv6=way[2]), WAYS), strict=True))


@pytest.mark.parametrize(("target", "ipv6"), [(FIRST, False), (SECOND, False), (FIRST, True)])
def test_stranger(scans: dict[tuple[str, str, bool], Answers], target: str, ipv6: bool) -> None:
    """Of all 65535 ports a machine that has nothing to do with the services reaches those for all; on the others nobody answers."""
    found = scans[STRANGER, target, ipv6]
    assert (found.open, found.refused, found.rejected, len(found.silent)) == (FOR_ALL[target], set(), set(), EVERY - len(FOR_ALL[target]))


def test_ssh_over_ipv6() -> None:
    """On the other port too."""
    assert scan(STRANGER, SECOND, "2222", ipv6=True).open == {2222}


@pytest.mark.parametrize(("source", "target"), [(FIRST, SECOND), (SECOND, FIRST)])
def test_peer(scans: dict[tuple[str, str, bool], Answers], source: str, target: str) -> None:
    """Hosts of one service get everything from each other: where nothing listens, the machine itself says so."""
    found = scans[source, target, False]
    assert (found.open, found.rejected, found.silent) == (LISTENING[target], set(), set())


@BOTH
def test_loopback_is_open(name: str) -> None:
    """A service's own processes talk over it."""
    for address in ("127.0.0.1", "::1"):
        assert on(name, f"python3 -c 'import socket; print(socket.create_connection((\"{address}\", 8265), 2).recv(9))'") == "b'ok\\n'"


@BOTH
def test_outgoing_is_open(name: str) -> None:
    """To a machine that is no peer."""
    assert on(name, f"python3 -c 'import socket; print(socket.create_connection((\"{ADDRESS[STRANGER]}\", 22), 2).recv(3))'") == "b'SSH'"


@BOTH
def test_controller_gets_in(name: str) -> None:
    """On a new connection, on the port that is really in use."""
    assert can_log_in(name)
    assert any(f"--dport {SSH_PORT[name]} " in f"{line} " for line in rules(name))


def test_former_rules_were_kept(debian12: Host) -> None:
    """One backup from before the first change, for root alone."""
    place = debian12.file("/var/lib/inferops/firewall/before-first-change")
    assert place.is_directory and place.mode == 0o700 and place.user == "root"
    assert debian12.file(f"{place.path}/etc/ufw/user.rules").exists
    assert "ENABLED=no" in debian12.file(f"{place.path}/etc/ufw/ufw.conf").content_string


def test_no_way_back_is_armed(debian12: Host) -> None:
    """The last change was confirmed."""
    assert debian12.run("systemctl list-timers --all --no-legend 'inferops-*'").stdout == ""
    assert not debian12.file("/var/lib/inferops/firewall/former").exists


def test_boot_brings_it_back() -> None:
    """All of it: rules, policies, and what is open."""
    before = {(name, family): rules(name, family) for name in (FIRST, SECOND) for family in (4, 6)}
    restart(FIRST, SECOND)
    assert {key: rules(*key) for key in before} == before
    for name in (FIRST, SECOND):
        assert policy(name, "INPUT") == policy(name, "INPUT", 6) == "DROP"
        assert can_log_in(name)
    found = scan(STRANGER, FIRST, "6000-10100")
    assert (found.open, found.refused) == ({ALONE, PAIR}, set())
