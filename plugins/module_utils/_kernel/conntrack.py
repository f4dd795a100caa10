# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection tracking table: how full it is, and how many connections it has dropped. roles/kernel/defaults sets its parameters."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import typing as t

from . import keys

# Counters of C(conntrack -S) by their names in host_facts. Its other counters do not matter to an operator.
_LOSSES = {"drop": "drop", "early_drop": "early_drop", "insert_failed": "insert_failed", "chain_too_long": "chaintoolong"}
_SECONDS = 10


def read(root: str = "/") -> dict[str, t.Any]:
    """Return connections, their limit, buckets of the hash table and losses since boot of this network namespace; empty without the module.

    A loss is None when the kernel or C(conntrack) does not count it. Losses are the sums over all CPUs.
    """
    numbers = {name: keys.read_value(root, f"net.netfilter.nf_conntrack_{name}") for name in ("count", "max", "buckets")}
    if not all(value and value.isdigit() for value in numbers.values()):
        return {}
    return {**{name: int(value or 0) for name, value in numbers.items()}, **losses(statistics())}


def statistics() -> str:
    """The output of C(conntrack -S); empty when it is not installed or fails."""
    command = shutil.which("conntrack", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if command is None:
        return ""
    try:
        return subprocess.run([command, "-S"], capture_output=True, text=True, timeout=_SECONDS, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def losses(text: str) -> dict[str, int | None]:
    """The losses from the output of C(conntrack -S), which has one line for each CPU."""
    found: dict[str, int | None] = {}
    for loss, name in _LOSSES.items():
        counts = re.findall(rf"\b{name}=(\d+)", text)
        found[loss] = sum(map(int, counts)) if counts else None
    return found
