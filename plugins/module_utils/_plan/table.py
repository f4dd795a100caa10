# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as a table for people."""

from __future__ import annotations

import shlex

from typing import Any, Iterable, Mapping

# Memory is that of the fullest GPU of a service: used and free GiB. CONCURRENCY: requests of so many tokens at once.
_HEADINGS = ("HOST", "SERVICE", "MODEL", "RELEASE", "GPUS", "URL", "GIB USED", "GIB FREE", "CONCURRENCY", "FETCH GB")
_GIGABYTE = 1e9
_GIB = 2**30


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
        return (host["host"], service["name"], "(absent)", *["-"] * (len(_HEADINGS) - 3))
    to_fetch = {weights["name"]: weights["to_fetch"] for weights in host["weights"]}[service["weights"]]
    memory = service["memory"]
    return (
        host["host"],
        service["name"],
        service["model"],
        service["release"],
        ",".join(str(index) for index in service["gpus"]) or "-",
        service["url"],
        "?" if memory is None else f"{memory['used'] / _GIB:.1f}",
        "?" if memory is None else f"{memory['free'] / _GIB:.1f}",
        "?" if memory is None else f"{memory['concurrency']:.1f} x {memory['max_model_len']}",
        "?" if to_fetch is None else f"{to_fetch / _GIGABYTE:.1f}",
    )
