# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of tracked connections: how full it is, and what it had to turn away."""

from __future__ import annotations

import os
import socket
import struct
import typing as t

from . import keys

# What tells of connections turned away, by its number among the statistics of a CPU (enum ctattr_stats_cpu of
# linux/netfilter/nfnetlink_conntrack.h) and by its name in /proc/net/stat/nf_conntrack. The rest is of no concern to an operator.
_LOSSES = {"drop": (10, "drop"), "early_drop": (11, "early_drop"), "insert_failed": (9, "insert_failed"), "chain_too_long": (15, "chainlength")}

_NETLINK_NETFILTER = 12
# NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS_CPU
_GET_STATISTICS = 0x104
_REQUEST_ALL = 0x301
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_FAMILY_HEADER = struct.pack("=BBH", 0, 0, 0)
_ERROR, _DONE = 2, 3
_SECONDS = 2


def read(root: str = "/") -> dict[str, t.Any]:
    """Connections, their limit, buckets of the hash table and losses since boot, of this network namespace; empty without the module.

    A loss is None where the kernel does not count it. Losses are those of all CPUs together.
    """
    numbers = {name: keys.read_value(root, f"net.netfilter.nf_conntrack_{name}") for name in ("count", "max", "buckets")}
    if not all(value and value.isdigit() for value in numbers.values()):
        return {}
    try:
        with open(os.path.join(root, "proc/net/stat/nf_conntrack"), encoding="ascii") as file:
            losses = parse_table(file.read())
    except OSError:
        # The kernels of Debian and Ubuntu are built without this file (CONFIG_NF_CONNTRACK_PROCFS), and are asked as conntrack -S does.
        losses = ask_kernel()
    return {**{name: int(value or 0) for name, value in numbers.items()}, **losses}


def parse_table(text: str) -> dict[str, int | None]:
    """The losses in /proc/net/stat/nf_conntrack: a line of names, then one of hexadecimal numbers for each CPU."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    names = lines[0] if lines else []
    found: dict[str, int | None] = dict.fromkeys(_LOSSES)
    for loss, (_number, name) in _LOSSES.items():
        if name in names:
            column = names.index(name)
            found[loss] = sum(int(line[column], 16) for line in lines[1:] if len(line) > column)
    return found


def ask_kernel() -> dict[str, int | None]:
    """The losses as the kernel tells them over netlink. To answer it may load nf_conntrack_netlink."""
    answer = b""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as asking:
            asking.settimeout(_SECONDS)
            asking.bind((0, 0))
            asking.send(_HEADER.pack(_HEADER.size + len(_FAMILY_HEADER), _GET_STATISTICS, _REQUEST_ALL, 1, 0) + _FAMILY_HEADER)
            while not _has_ended(answer):
                answer += asking.recv(1 << 16)
    except OSError:
        return dict.fromkeys(_LOSSES)
    return parse_messages(answer)


def parse_messages(data: bytes) -> dict[str, int | None]:
    """The losses in netlink messages, one for each CPU: attributes with a number, which is big-endian."""
    found: dict[str, int | None] = dict.fromkeys(_LOSSES)
    for kind, body in _messages(data):
        if kind != _GET_STATISTICS:
            continue
        place = len(_FAMILY_HEADER)
        while place + _ATTRIBUTE.size <= len(body):
            length, number = _ATTRIBUTE.unpack_from(body, place)
            for loss, (wanted, _name) in _LOSSES.items():
                if number & 0x3FFF == wanted and length == _ATTRIBUTE.size + 4:
                    found[loss] = (found[loss] or 0) + int.from_bytes(body[place + _ATTRIBUTE.size:place + length], "big")
            place += max(_ATTRIBUTE.size, length + 3 & ~3)
    return found


def _has_ended(data: bytes) -> bool:
    return any(kind in (_ERROR, _DONE) for kind, _body in _messages(data))


def _messages(data: bytes) -> t.Iterator[tuple[int, bytes]]:
    place = 0
    while place + _HEADER.size <= len(data):
        length, kind = _HEADER.unpack_from(data, place)[:2]
        yield kind, data[place + _HEADER.size:place + length]
        place += max(_HEADER.size, length + 3 & ~3)
