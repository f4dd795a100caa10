# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has of kernel settings: facts for the plan."""

from __future__ import annotations

import glob
import os
import typing as t

from .. import _reading
from . import keys, rivals
from .wanted import FILES, GOVERNORS, HUGEPAGES

# What this collection may set by itself; users' additions come to it.
OWN_KEYS = (
    "net.core.rmem_max", "net.core.somaxconn", "net.core.wmem_max", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    "net.netfilter.nf_conntrack_buckets", "net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait", "vm.swappiness",
)


def read(more: t.Iterable[t.Any], root: str = "/") -> dict[str, t.Any]:
    """The facts C(kernel) of host_facts; C(more) are names of parameters beside our own, of which some may be no names."""
    names = dict.fromkeys(OWN_KEYS)
    names.update(dict.fromkeys(keys.known(dict.fromkeys(name for name in more if isinstance(name, str)))))
    later = rivals.find(root, names)
    return {
        "files": our_files(root),
        "modules": [name for name in ("nf_conntrack",) if is_loaded(root, name)],
        "sysctl": {name: _parameter(root, name, later.get(name, [])) for name in names},
        "transparent_hugepages": hugepages(root),
        "governors": sorted({read_text(path).strip() for path in governor_files(root)}),
        "available_governors": available_governors(root),
    }


def _parameter(root: str, name: str, later: list[tuple[str, str | None, str]]) -> dict[str, t.Any]:
    there = keys.exists(root, name)
    absence = "" if there else keys.absence(root, name)
    mistaken = not there and not absence
    return {
        "value": keys.read_value(root, name),
        "exists": there,
        "absence": absence,
        "near": keys.near(root, name) if mistaken else [],
        "rivals": [{"file": file, "value": value} for file, value, _why in later],
    }


def our_files(root: str) -> dict[str, str]:
    """Text of our files that are there."""
    found = {path: below(root, path) for path in FILES}
    return {path: read_text(file) for path, file in found.items() if os.path.isfile(file)}


def is_loaded(root: str, module: str) -> bool:
    """Whether a module is loaded, or part of the kernel and shows itself."""
    return os.path.isdir(below(root, f"/sys/module/{module}"))


def hugepages(root: str) -> str:
    """The word in brackets, of which /sys shows all; empty where there is none."""
    words = read_text(below(root, HUGEPAGES)).split()
    return next((word.strip("[]") for word in words if word.startswith("[")), "")


def governor_files(root: str) -> list[str]:
    """One file for each CPU whose frequency is scaled."""
    return sorted(glob.glob(below(root, GOVERNORS)))


def available_governors(root: str) -> list[str]:
    """Governors that every CPU offers."""
    offers = [set(read_text(os.path.join(os.path.dirname(path), "scaling_available_governors")).split()) for path in governor_files(root)]
    return sorted(set.intersection(*offers)) if offers else []


def below(root: str, path: str) -> str:
    """A path of the host below the root directory that is looked in."""
    return os.path.join(root, path.lstrip("/"))


def read_text(path: str) -> str:
    """A file's text, empty where it can't be read."""
    return _reading.read_text(path)
