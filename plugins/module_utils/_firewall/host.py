# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's present firewall: files, the kernel's tables, and the facts about them. Changes nothing."""

from __future__ import annotations

import os
import typing as t

from dataclasses import asdict

from .. import _host
from . import backend, others, published, ssh, state
from .rollback import Rollback

FILES = {"ufw.conf": "/etc/ufw/ufw.conf", "default": "/etc/default/ufw", "user.rules": "/etc/ufw/user.rules", "user6.rules": "/etc/ufw/user6.rules"}
# The link that `systemctl enable ufw` creates.
BOOT_LINK = "/etc/systemd/system/multi-user.target.wants/ufw.service"


def saved() -> dict[int, str]:
    """Return the kernel's tables by family. Without a table name these commands load no further tables."""
    return {4: _host.run("iptables-save"), 6: _host.run("ip6tables-save")}


def is_active() -> bool:
    """Whether systemd regards UFW's unit as started. Also true when systemd never will, because a condition of the unit is not met."""
    shown = _host.run("systemctl", "show", "--property=LoadState,ActiveState,ConditionResult,ConditionTimestampMonotonic", "ufw.service")
    found = dict(line.partition("=")[::2] for line in shown.splitlines())
    tried = found.get("ConditionTimestampMonotonic", "0") != "0"
    return found.get("LoadState") != "loaded" or found.get("ActiveState") == "active" or (tried and found.get("ConditionResult") == "no")


def read_state(tables: t.Mapping[int, str], directory: str) -> state.State:
    """UFW's state.

    :param tables: what C(saved) returned
    :param directory: state directory of the collection
    """
    files = {name: _host.read_text(path) for name, path in FILES.items()}
    # UFW makes the same test.
    ipv6 = os.path.exists("/proc/sys/net/ipv6")
    return state.read(files, tables, ipv6, os.path.islink(BOOT_LINK), Rollback(directory).is_pending(), is_active())


def facts(directory: str, listeners: t.Iterable[t.Mapping[str, t.Any]], packages: t.Collection[str]) -> dict[str, t.Any]:
    """Return the facts that the plan and the role need about the firewall."""
    tables = saved()
    connection = ssh.present_connection()
    return {
        "state": read_state(tables, directory).to_dict(),
        "ssh_ports": ssh.ports(listeners),
        "connection": asdict(connection) if connection is not None else {},
        "others": others.managers(packages),
        "published": sorted(set(published.ports(tables[4]) + published.ports(tables[6]))),
        "returned": Rollback(directory).returned(),
        "backend": backend.read(),
    }
