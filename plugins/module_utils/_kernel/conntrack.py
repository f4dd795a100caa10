# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of tracked connections: how full it is, and what it had to turn away."""

from __future__ import annotations

import os
import typing as t

from . import keys

# Columns of /proc/net/stat/nf_conntrack that tell of connections turned away; the rest is of no concern to an operator.
LOSSES = ("drop", "early_drop", "insert_failed")


def parse_statistics(text: str) -> dict[str, int] | None:
    """The losses, summed over the CPUs, from /proc/net/stat/nf_conntrack: a line of names, then one of hexadecimal numbers for each CPU."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or not set(LOSSES) <= set(lines[0]):
        return None
    columns = {name: lines[0].index(name) for name in LOSSES}
    return {name: sum(int(line[column], 16) for line in lines[1:] if len(line) > column) for name, column in columns.items()}


def read(root: str = "/") -> dict[str, t.Any]:
    """Connections, their limit, buckets of the hash table and losses since boot, of this network namespace; empty without the module.

    Losses are None where the kernel was built without its statistics (CONFIG_NF_CONNTRACK_PROCFS) and conntrack's own interface does not answer.
    """
    numbers = {name: keys.read_value(root, f"net.netfilter.nf_conntrack_{name}") for name in ("count", "max", "buckets")}
    if not all(value and value.isdigit() for value in numbers.values()):
        return {}
    try:
        with open(os.path.join(root, "proc/net/stat/nf_conntrack"), encoding="ascii") as file:
            losses = parse_statistics(file.read())
    except OSError:
        losses = None
    return {**{name: int(value or 0) for name, value in numbers.items()}, **(losses or dict.fromkeys(LOSSES))}
