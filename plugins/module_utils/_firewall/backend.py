# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packet filters the kernel has, and which of them the host's iptables, and therefore UFW, uses. Checked before anything is installed or changed.

Debian's iptables is two programs under one name, by update-alternatives: C(iptables-nft), which needs the kernel's nf_tables, and C(iptables-legacy),
which needs its older tables. A custom kernel may lack either, and newer kernels lack the older tables.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
import typing as t

NFT = "nft"
LEGACY = "legacy"

# linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h.
_NETLINK_NETFILTER = 12
_GET_GENERATION = 10 << 8 | 16
_ERROR = 2
_REQUEST_AND_ANSWER = 0x1 | 0x4
_HEADER = struct.Struct("=IHHII")

# By command: the /proc file that its legacy program reads the table names from (ip_tables.c, ip6_tables.c), and the module of its filter table.
_COMMANDS = {"iptables": ("ip_tables_names", "iptable_filter"), "ip6tables": ("ip6_tables_names", "ip6table_filter")}


def read(alternatives: str = "/etc/alternatives", proc: str = "/proc") -> dict[str, t.Any]:
    """The variant of C(iptables) and C(ip6tables), V(nft) or V(legacy); whether the package is C(installed); what the kernel supports: C(nft), null when
    unknown, and C(legacy) by command."""
    return {
        **{command: variant(os.path.join(alternatives, command)) for command in _COMMANDS},
        "installed": os.path.lexists(os.path.join(alternatives, "iptables")),
        NFT: has_nf_tables(),
        LEGACY: {command: _has_legacy(os.path.join(proc, "net", names), module) for command, (names, module) in _COMMANDS.items()},
    }


def variant(link: str) -> str:
    """The variant that a link of update-alternatives points to; without a link the one that the package will choose."""
    try:
        return LEGACY if os.readlink(link).endswith("-legacy") else NFT
    except OSError:
        return NFT


def has_nf_tables() -> t.Optional[bool]:
    """Request the generation of nf_tables from the kernel, which is also the first request of iptables-nft. None without the permission to do so."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as channel:
            channel.settimeout(5)
            # Of no family, version 0, no resource.
            body = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
            channel.send(_HEADER.pack(_HEADER.size + len(body), _GET_GENERATION, _REQUEST_AND_ANSWER, 1, 0) + body)
            return means(channel.recv(4096))
    except OSError as error:
        return False if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT) else None


def means(answer: bytes) -> t.Optional[bool]:
    """Whether the kernel's answer comes from nf_tables: the generation, or no error. None for a permission error."""
    if len(answer) < _HEADER.size + 4:
        return None
    kind = _HEADER.unpack_from(answer)[1]
    if kind != _ERROR:
        return True
    number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
    return {0: True, errno.EPERM: None, errno.EACCES: None}.get(number, False)


def _has_legacy(names: str, module: str) -> bool:
    """Whether the kernel has the older tables, loaded or available as a module. Loads nothing."""
    if os.path.exists(names):
        return True
    try:
        return subprocess.run(["modprobe", "--dry-run", "--quiet", module], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
