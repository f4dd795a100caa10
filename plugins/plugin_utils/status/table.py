# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state as lines for people. Cells have no spaces, and lines of text are short: Ansible breaks longer lines at spaces."""

from __future__ import annotations

import textwrap

from collections import Counter
from typing import Any, Iterable, Iterator, Mapping, Sequence

from . import states, values

Item = Mapping[str, Any]

# Columns of a line of text. Ansible indents by some, and breaks at 80.
WIDTH = 74
_SERVICES = ("SERVICE", "HOST", "STATE", "SINCE (UTC)", "FOR", "RUN", "WAIT", "KV", "TOK/S", "RESTARTS")
_GPUS = ("HOST", "GPU", "MODEL", "USED GIB", "OF GIB", "TEMP", "LOAD", "HEALTH", "SERVICES")
_DISKS = ("HOST", "DISK", "SIZE", "FREE", "USED", "HOLDS")
_CONNECTIONS = ("HOST", "CONNECTIONS", "MAX", "DROP", "EARLY_DROP", "INSERT_FAILED", "CHAIN_TOO_LONG")
# Days from which on the end of a certificate is a warning, and seconds of a day.
CERTIFICATE_DAYS = 21
_DAY = 86400
_REVISION = 12


def lines(document: Item) -> list[str]:
    """All sections, each after an empty line; those with nothing to show are left out."""
    parts = (_summary, _services, _gpus, _disks, _work, _connections, _others, _differences, _unread)
    sections = [found for found in (list(part(document)) for part in parts) if found]
    return [line for section in sections for line in ("", *section)][1:]


def _summary(document: Item) -> Iterator[str]:
    services = [item for item in document["services"] if item["inventory"] != "none"]
    hosts = document["hosts"]
    counts = Counter(item["state"] for item in services)
    words = ", ".join(f"{counts[state]} {state}" for state in states.ORDER if counts[state])
    others = len(document["services"]) - len(services)
    extra = f"; {others} not in the inventory" if others else ""
    yield f"{_count(len(services), 'service')}{': ' + words if words else ''}{extra}; {_count(len(hosts), 'host')}"
    for host in hosts:
        if host["state"] != "read":
            word = "unreachable" if host["state"] == "unreachable" else "not read"
            yield from _text(f"{host['host']} {word}: {host['error']}")
    if document["plan"]["message"]:
        yield from _text(f"{document['plan']['message']}. Hosts are not compared with the plan")


def _services(document: Item) -> Iterator[str]:
    read = {host["host"]: host["read_at"] for host in document["hosts"]}
    shown = [item for item in document["services"] if item["inventory"] != "none"]
    if not shown:
        return
    heading, *cells = _columns([_SERVICES, *(_service_cells(item, read) for item in shown)])
    yield heading
    for line, item in zip(cells, shown):
        yield line
        for text in _notes(item, read):
            yield from _text(text, "  ")


def _service_cells(item: Item, read: Mapping[str, str]) -> tuple[str, ...]:
    hosts = item["hosts"]
    since = values.moment(item["since"])
    seconds = values.seconds_between(item["since"], max((read.get(host, "") for host in hosts), default=""))
    return (
        item["service"], hosts[0] if len(hosts) == 1 else f"{hosts[0]}+{len(hosts) - 1}", item["state"],
        values.UNKNOWN if since is None else since.strftime("%m-%d %H:%M"), values.UNKNOWN if seconds is None else values.duration(seconds),
        values.shown(item["requests_running"]), values.shown(item["requests_waiting"]), values.share(item["kv_cache_used"]),
        values.shown(item["generation_tokens_per_second"]), str(item["restarts"]),
    )


def _notes(item: Item, read: Mapping[str, str]) -> Iterator[str]:
    """What else there is to know about a service, a line for each thing."""
    yield from filter(None, [", ".join(filter(None, (item["endpoint"], item["model"] if item["model"] != item["service"] else "", item["task"])))])
    revision = f"revision {item['revision'][:_REVISION]}" if item["revision"] else item["weights"]
    memory = f"memory {values.size(item['memory_bytes'])}" if item["memory_bytes"] is not None else ""
    yield from filter(None, [", ".join(filter(None, (item["release"], revision, memory)))])
    if item["adapters"]:
        missing = item["adapters_not_loaded"]
        names = ", ".join(f"{name} (not loaded)" if name in (missing or ()) else name for name in item["adapters"])
        is_unknown = missing is None and item["state"] == states.SERVING
        yield f"adapters: {names}" + (" (the engine does not tell whether it has loaded them)" if is_unknown else "")
    if len(item["hosts"]) > 1:
        yield "nodes: " + ", ".join(item["hosts"])
    yield from _statuses(item)
    if item["failed_starts"] and item["state"] != states.SERVING:
        yield f"{_count(item['failed_starts'], 'start')} in a row failed"
    if item["error"]:
        yield f"the engine does not answer: {item['error']}"
    for missing in item["missing"]:
        yield f"node {missing['host']} {missing['text']}"
    if item["last_failure"]:
        failure = item["last_failure"]
        yield f"last failure {values.clock(failure['at'])}: {failure['reason'] or 'see its log'} ({failure['host']}:{failure['path']})"
    for unit in item["units"]:
        if unit["last_failure_error"]:
            yield f"the logs of failures cannot be read: {unit['last_failure_error']}"
    yield from _certificate(item, read)
    if item["pending"]:
        yield "the plan has another configuration: site.yml applies it" + (" (on hold)" if item["state"] == states.HOLD else "")
    if item["inventory"] == "absent":
        yield "state: absent in the inventory: site.yml removes it"
    for change in item["changed"]:
        where = f"{change['host']}: " if len(item["hosts"]) > 1 else ""
        yield f"changed outside: {where}{change['text']}"


def _statuses(item: Item) -> Iterable[str]:
    """The supervisors' status lines while the service does not serve; the nodes of a service may each know another part."""
    if item["state"] in (states.SERVING, states.HOLD):
        return []
    found = [(unit["host"], unit["status"]) for unit in item["units"] if unit["status"] and unit["state"] != states.SERVING]
    return dict.fromkeys(f"{host}: {text}" if len(item["hosts"]) > 1 else text for host, text in found)


def _certificate(item: Item, read: Mapping[str, str]) -> Iterator[str]:
    found = item["certificate"]
    if not found:
        return
    if found["error"]:
        yield f"certificate {found['path']}: {found['error']}"
    left = values.seconds_between(max((read.get(host, "") for host in item["hosts"]), default=""), found["served_expires"])
    if left is not None:
        days = left / _DAY
        word = "has expired" if days < 0 else f"expires in {days:.0f} days" if days < CERTIFICATE_DAYS else f"is valid for {days:.0f} days"
        yield f"certificate {found['path']} {word}{', renew it' if days < CERTIFICATE_DAYS and not found['renewed'] else ''}"
    if found["renewed"]:
        yield "the certificate's file has changed since the service has started: a restart loads it"


def _gpus(document: Item) -> Iterator[str]:
    rows = [_gpu_cells(host, gpu) for host in document["hosts"] for gpu in host["gpus"]]
    if rows:
        yield from _columns([_GPUS, *rows])
    for host in document["hosts"]:
        for item in host["gpu_health"]:
            gpu = "" if item.get("gpu") is None else f" GPU {item['gpu']}"
            advice = ". ".join(filter(None, (item.get("action"), item.get("fix"))))
            yield from _text(f"{host['host']}{gpu} {item.get('level')}: {item.get('cause')}{'. Fix: ' + advice if advice else ''}")


def _gpu_cells(host: Item, gpu: Item) -> tuple[str, ...]:
    levels = {item.get("level") for item in host["gpu_health"] if item.get("gpu") == gpu["index"]}
    health = "error" if "error" in levels else "warning" if levels else "ok"
    return (
        host["host"], str(gpu["index"]), gpu["name"].replace(" ", "-"), values.gibibytes(gpu["memory_used_bytes"]), values.gibibytes(gpu["memory_bytes"]),
        values.shown(gpu["temperature"], "C"), values.shown(gpu["utilization"], "%"), health, ",".join(gpu["services"]) or values.UNKNOWN,
    )


def _disks(document: Item) -> Iterator[str]:
    rows = [
        (
            host["host"], disk["mount"], values.size(disk["size_bytes"]), values.size(disk["free_bytes"]),
            values.share(1 - disk["free_bytes"] / disk["size_bytes"]), ",".join(disk["holds"]),
        )
        for host in document["hosts"] for disk in host["disks"]
    ]
    if rows:
        yield from _columns([_DISKS, *rows])


def _work(document: Item) -> Iterator[str]:
    """Downloads and builds."""
    for host in document["hosts"]:
        for item in host["downloads"]:
            yield from _text(f"{host['host']}: download {item['name']} {item['state']}: {_progress(item)}")
        for item in host["builds"]:
            yield from _text(f"{host['host']}: build of {item['name']} {item['state']}: {_outcome(item)}")


def _progress(item: Item) -> str:
    if item["state"] != "running" or item["fraction"] is None:
        return _outcome(item)
    left = "" if item["eta_seconds"] is None else f"{values.duration(item['eta_seconds'])} left"
    rate = "" if item["rate"] is None else f"{values.size(item['rate'])}/s"
    amount = f"{values.share(item['fraction'])} of {values.size(item['total_bytes'])}"
    return ", ".join(filter(None, (amount, rate, left)))


def _outcome(item: Item) -> str:
    return ". Fix: ".join(filter(None, (item["error"] or item["text"] or "no progress is known", item["fix"])))


def _connections(document: Item) -> Iterator[str]:
    rows = [
        (host["host"], *(values.shown(host["connections"].get(key)) for key in ("count", "max", "drop", "early_drop", "insert_failed", "chain_too_long")))
        for host in document["hosts"] if host["connections"]
    ]
    if rows:
        yield from _columns([_CONNECTIONS, *rows])


def _others(document: Item) -> Iterator[str]:
    """What runs that the inventory does not name."""
    found = []
    for host in document["hosts"]:
        for unit in host["orphaned"]:
            gpus = "GPUs unknown" if unit["gpus"] is None else f"GPUs {','.join(map(str, unit['gpus'])) or 'none'}"
            port = f", port {unit['port']}" if unit["port"] else ""
            found.append(f"{host['host']}: {unit['unit']}, {unit['active']}, {unit['enabled'] or 'not enabled'}, {gpus}{port}. Remove it: {unit['fix']}")
        for item in host["unmanaged"]:
            where = f"GPUs {','.join(map(str, item['gpus']))}" if item["gpus"] else ""
            ports = f"port {','.join(map(str, item['ports']))}" if item["ports"] else ""
            unit = f"unit {item['unit']}" if item["unit"] else ""
            about = ", ".join(filter(None, (f"user {item['user']}", unit, ports, where)))
            found.append(f"{host['host']}: process {item['pid']} ({item['program']}), {about}")
    if found:
        yield "Not in the inventory:"
        for text in found:
            yield from _text(text, "  ")


def _differences(document: Item) -> Iterator[str]:
    found = [f"{host['host']}: {item['text']}" for host in document["hosts"] for item in host["differs"]]
    if found:
        yield "Hosts that differ from the plan (site.yml applies it):"
        for text in found:
            yield from _text(text, "  ")


def _unread(document: Item) -> Iterator[str]:
    found = [f"{host['host']}: {name}: {why}" for host in document["hosts"] for name, why in host["unread"].items()]
    if found:
        yield "Not read:"
        for text in found:
            yield from _text(text, "  ")


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _text(text: str, indent: str = "") -> Iterable[str]:
    """A text on lines of at most WIDTH columns. A long word, such as a path, is not broken."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False, break_on_hyphens=False,
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
