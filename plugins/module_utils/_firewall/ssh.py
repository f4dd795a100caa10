# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports on which the host accepts SSH, from all sources: the present connection, sshd's effective settings, the listening sockets."""

from __future__ import annotations

import ipaddress
import os
import re
import typing as t

from dataclasses import dataclass

from .. import _host

# Names of SSH servers' processes. Ubuntu and Debian call the listening one "sshd: ... [listener]" and those of sessions "sshd: user@...".
_SERVERS = ("sshd", "dropbear")
_UNITS = ("ssh.socket", "sshd.socket")


@dataclass(frozen=True)
class Connection:
    """The SSH connection that Ansible uses: addresses and ports of the client and of the host."""

    client: str
    client_port: int
    server: str
    port: int


def parse_connection(text: str) -> t.Optional[Connection]:
    """Parse a value of SSH_CONNECTION: client address, client port, server address, server port."""
    words = text.split()
    if len(words) != 4 or not words[1].isdigit() or not words[3].isdigit():
        return None
    return Connection(_plain(words[0]), int(words[1]), _plain(words[2]), int(words[3]))


def _plain(address: str) -> str:
    """An address without its scope; an IPv4-mapped IPv6 address as IPv4."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = found.ipv4_mapped if found.version == 6 else None
    return str(mapped or found)


def present_connection(pid: int = 0, proc: str = "/proc") -> t.Optional[Connection]:
    """The SSH connection of a process, by default of this one; None without SSH.

    sudo removes SSH_CONNECTION from the environment, so the ancestors' environments are read too.
    """
    process = pid or os.getpid()
    while process > 1:
        environment = _host.read_text(f"{proc}/{process}/environ").split("\0")
        values = [entry.partition("=")[2] for entry in environment if entry.startswith("SSH_CONNECTION=")]
        found = parse_connection(values[0]) if values else None
        if found is not None:
            return found
        parents = re.findall(r"^PPid:\s*(\d+)", _host.read_text(f"{proc}/{process}/status"), flags=re.MULTILINE)
        process = int(parents[0]) if parents else 0
    return None


def ports(listeners: t.Iterable[t.Mapping[str, t.Any]]) -> list[int]:
    """All ports on which the host accepts SSH; an empty list without SSH.

    :param listeners: listening sockets from the facts
    """
    connection = present_connection()
    found = {connection.port} if connection is not None else set()
    found.update(settings_ports(_host.run("/usr/sbin/sshd", "-T")))
    rows = list(listeners)
    found.update(listening_ports(rows))
    # Sockets of systemd's socket units belong to process 1.
    if any(row["pid"] == 1 for row in rows):
        found.update(socket_ports(_host.run("systemctl", "show", "--property=Listen,ActiveState", *_UNITS)))
    return sorted(found)


def settings_ports(text: str) -> set[int]:
    """Ports in the output of C(sshd -T). A listen address may have its own port."""
    found = set(re.findall(r"^port (\d+)$", text, flags=re.MULTILINE))
    found.update(re.findall(r"^listenaddress \S*:(\d+)$", text, flags=re.MULTILINE))
    return {int(port) for port in found}


def listening_ports(listeners: t.Iterable[t.Mapping[str, t.Any]], proc: str = "/proc") -> set[int]:
    """Ports of SSH servers' listening sockets, except on loopback. Sockets of SSH sessions are forwarded ports, not SSH."""
    found = set()
    for row in listeners:
        if row["pid"] and not str(row["address"]).startswith(("127.", "::1")):
            name = _host.read_text(f"{proc}/{row['pid']}/comm").strip()
            title = _host.read_text(f"{proc}/{row['pid']}/cmdline").replace("\0", " ")
            if name in _SERVERS and (not title.startswith("sshd: ") or "[listener]" in title):
                found.add(int(row["port"]))
    return found


def socket_ports(text: str) -> set[int]:
    """Ports of active socket units in the output of C(systemctl show)."""
    found: set[int] = set()
    for block in text.split("\n\n"):
        if "ActiveState=active" in block.splitlines():
            found.update(int(port) for port in re.findall(r"^Listen=\S*?:?(\d+) \(Stream\)$", block, flags=re.MULTILINE))
    return found
