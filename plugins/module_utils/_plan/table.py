# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as a table for people."""

from __future__ import annotations

import shlex

from typing import Any, Iterable, Mapping

_HEADINGS = ("HOST", "SERVICE", "MODEL", "RELEASE", "GPUS", "URL", "WEIGHTS GB")
_GIGABYTE = 1e9


def lines(hosts: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each service of the plan's hosts, below one with the headings, in columns."""
    rows = [_HEADINGS, *(_row(host, service) for host in hosts for service in host["services"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def commands(hosts: Iterable[Mapping[str, Any]]) -> list[str]:
    """For each present service a line that names it and the command that its unit runs, as a shell takes it."""
    found: list[str] = []
    for host in hosts:
        for service in host["services"]:
            if service["state"] == "present":
                program, verb, weights, *flags = [shlex.quote(word) for word in service["argv"]]
                command = " ".join([program, verb, weights])
                found += ["", f"{host['host']} / {service['name']}", "  " + " \\\n      ".join([command, *flags])]
    return "\n".join(found).strip("\n").split("\n") if found else []


def _row(host: Mapping[str, Any], service: Mapping[str, Any]) -> tuple[str, ...]:
    if service["state"] != "present":
        return (host["host"], service["name"], "(absent)", "-", "-", "-", "-")
    sizes = {weights["name"]: weights["bytes"] for weights in host["weights"]}
    size = sizes[service["weights"]]
    return (
        host["host"],
        service["name"],
        service["model"],
        service["release"],
        ",".join(str(index) for index in service["gpus"]) or "-",
        service["url"],
        "?" if size is None else f"{size / _GIGABYTE:.1f}",
    )
