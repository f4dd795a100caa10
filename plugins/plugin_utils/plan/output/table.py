# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as tables."""

from __future__ import annotations

import shlex

from typing import Any, Iterable, Mapping, Sequence

# Memory is that of the fullest GPU of a service: used and free GiB. CONCURRENCY: number of parallel requests x tokens of each.
# BLUE/GREEN: where the new engine of an update would start beside the old one.
_HEADINGS = ("HOST", "SERVICE", "MODEL", "RELEASE", "GPUS", "URL", "GIB USED", "GIB FREE", "CONCURRENCY", "FETCH GB", "BLUE/GREEN")
_STAGE_HEADINGS = ("STAGE", "HOST", "LAYERS", "WEIGHTS", "RESERVE", "KV CACHE")
_GIGABYTE = 1e9
_KIB = 2**10
_GIB = 2**30


def summary(hosts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The whole summary of the hosts as lines; empty without hosts."""
    sections = (lines(hosts), stages(hosts), commands(hosts)) if hosts else ()
    return [line for section in sections if section for line in ("", *section)][1:]


def lines(hosts: Iterable[Mapping[str, Any]]) -> list[str]:
    """A heading and one line for each service of the hosts, in columns."""
    return _columns([_HEADINGS, *(_row(host, service) for host in hosts for service in host["services"])])


def stages(hosts: Iterable[Mapping[str, Any]]) -> list[str]:
    """For each service with pipeline stages a table of them: layers, hosts, and GiB on each of their GPUs."""
    found: list[str] = []
    for host in hosts:
        for service in host["services"]:
            spread = service.get("stages")
            if spread is not None and (service["node"] is None or service["node"]["rank"] == 0):
                found += ["", *_spread(host, service, spread)]
    return found[1:]


def _spread(host: Mapping[str, Any], service: Mapping[str, Any], spread: Mapping[str, Any]) -> list[str]:
    node = service["node"]
    over = f"on {len(node['nodes'])} hosts with {node['backend']}" if node else "on one host"
    sizes = f"tensor parallel {spread['tensor_parallel_size']} x pipeline parallel {spread['pipeline_parallel_size']}"
    first = 0
    rows: list[tuple[str, ...]] = [_STAGE_HEADINGS]
    for position, stage in enumerate(spread["stages"], start=1):
        layers, memory = stage["layers"], stage.get("memory")
        span = "?" if layers is None else f"{layers} ({first + 1}-{first + layers})"
        first += layers or 0
        sizes_here = ["?"] * 3 if memory is None else [f"{memory[part] / _GIB:.1f}" for part in ("weights", "reserve", "kv_cache")]
        rows.append((str(position), ", ".join(stage["hosts"]), span, *sizes_here))
    lines_found = [f"{host['host']} / {service['name']}: {sizes} {over}; GiB are per GPU", *(f"  {line}" for line in _columns(rows))]
    if spread["network_bytes_per_token"]:
        lines_found.append(f"  {spread['network_bytes_per_token'] / _KIB:.1f} KiB of network traffic for each token")
    return lines_found


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def commands(hosts: Iterable[Mapping[str, Any]]) -> list[str]:
    """For each present service its name and the command of its unit, quoted for a shell."""
    found: list[str] = []
    for host in hosts:
        for service in host["services"]:
            # With Ray only the head runs vLLM's command.
            if service["state"] == "present" and service["argv"]:
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
        service["url"] or f"(part of {service['node']['nodes'][0]['host']}'s)",
        "?" if memory is None else f"{memory['used'] / _GIB:.1f}",
        "?" if memory is None else f"{memory['free'] / _GIB:.1f}",
        "?" if memory is None or memory["concurrency"] is None else f"{memory['concurrency']:.1f} x {memory['max_model_len']}",
        "?" if to_fetch is None else f"{to_fetch / _GIGABYTE:.1f}",
        _room(service.get("green")),
    )


def _room(green: Mapping[str, Any] | None) -> str:
    """The port and the GPUs for the new engine of a blue/green update; the plan's JSON has the reason why it does not fit."""
    if green is None:
        return "-"
    if green["why"]:
        return "no"
    gpus = ",".join(str(index) for index in green["gpus"])
    return f"port {green['port']}, GPU {gpus}" if gpus else f"port {green['port']}"
