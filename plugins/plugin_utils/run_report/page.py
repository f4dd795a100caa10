# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a report: one HTML file that loads nothing, whose every text is escaped."""

from __future__ import annotations

import functools
import json
import re
import shlex

from pathlib import Path
from typing import Any, Callable, Mapping

from jinja2 import Environment, StrictUndefined, Template

TEMPLATE = Path(__file__).resolve().parents[3] / "roles" / "run_report" / "templates" / "report.html.j2"
_NONE = "–"
_SHOWN_DIGITS = 12
_COMMIT = re.compile(r"[0-9a-f]{40}")
_GIB = 2**30
_SECTIONS = (
    ("services", "Services"), ("verifications", "Verifications"), ("changes", "Changes"), ("warnings", "Warnings"), ("versions", "Versions and hashes"),
    ("ports", "Listening ports"), ("plan", "Plan"), ("run", "Run"),
)

Rows = list[tuple[dict[str, Any], list[str]]]


def render(report: Mapping[str, Any]) -> str:
    """The page of a report, which C(contents.build) has made."""
    hosts: Mapping[str, Any] = report["hosts"]
    services = [row for host in hosts.values() for row in host["services"]]
    # The errors of the plan are listed by themselves.
    failures = [(name, failure) for name, host in hosts.items() for failure in _failures(host) if not report["errors"] or failure.get("role") != "plan"]
    unread = [(name, part, reason) for name, host in hosts.items() for part, reason in host["unread"].items()]
    sections = [*([("failures", "Failures")] if failures or report["errors"] else []), *_SECTIONS]
    if unread:
        sections.insert(-2, ("unread", "Not read"))
    return _template().render(
        report,
        sections=sections,
        services=services,
        serving=sum(row["state"] == "serving" for row in services),
        changed=sum(len(host["changes"]) + host["omitted_tasks"] for host in hosts.values()),
        omitted=sum(host["omitted_tasks"] for host in hosts.values()),
        failed_hosts=report["run"]["failed_hosts"],
        failures=failures,
        verifications=[(name, row) for name, host in hosts.items() for row in host["verifications"]],
        changes=_grouped(hosts, lambda host: host["changes"]),
        accepted_rows=_accepted(report["accepted"]),
        systems=_grouped(hosts, _systems),
        releases=_grouped(hosts, lambda host: [{"name": name, **one} for name, one in host["releases"].items()], without=("built",)),
        weights=_grouped(hosts, lambda host: [{"path": path, **one} for path, one in host["weights"].items()]),
        ports=_grouped(hosts, lambda host: [port for port in host["ports"] if not port["random"]]),
        unread=unread,
    )


@functools.lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(time=_time, duration=_duration, number=_number, short=_digits, gib=_gib, command=_command, first_line=_first_line)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _failures(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The failed tasks; without a record of them the errors of services, and else that the host failed."""
    if host["failures"]:
        return list(host["failures"])
    found = [{"task": f"service {name}", "message": error} for name, error in host["service_errors"].items()]
    if not found and host["result"] != "succeeded":
        found = [{"task": "", "message": "The host failed. The output of the run has the reason; tasks were not recorded."}]
    return found if host["result"] != "succeeded" else []


def _grouped(hosts: Mapping[str, Any], pick: Callable[[Mapping[str, Any]], list[dict[str, Any]]], without: tuple[str, ...] = ()) -> Rows:
    """Rows of all hosts; a row that several hosts have in common is there once, with their names."""
    rows: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for name, host in hosts.items():
        for row in pick(host):
            shown = {key: value for key, value in row.items() if key not in without}
            names = rows.setdefault(json.dumps(shown, sort_keys=True), (shown, []))[1]
            if name not in names:
                names.append(name)
    return list(rows.values())


def _accepted(rows: list[Mapping[str, Any]]) -> Rows:
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for row in rows:
        shown = {key: value for key, value in row.items() if key != "host"}
        found.setdefault(json.dumps(shown, sort_keys=True), (shown, []))[1].append(row["host"])
    return list(found.values())


def _systems(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    system, gpus = host["state"].get("system"), host["state"].get("gpus")
    if system is None:
        return []
    kinds = [text.rpartition(", ")[0] for text in (gpus or {}).values()]
    text = ", ".join(f"{kinds.count(kind)} × {kind}" for kind in dict.fromkeys(kinds)) or ("none" if gpus is not None else "not read")
    return [{"OS": system.get("OS", ""), "kernel": system.get("kernel", ""), "driver": system.get("NVIDIA driver", ""), "gpus": text}]


def _time(text: Any) -> str:
    """2026-11-26 14:03:11 UTC of a time in the report."""
    return str(text).replace("T", " ").replace("Z", " UTC") if text else "unknown"


def _duration(seconds: Any) -> str:
    if seconds is None:
        return "not recorded"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _number(value: Any) -> str:
    return _NONE if value is None else f"{value:.1f}"


def _digits(text: Any) -> str:
    """The first digits of a commit; a branch or tag as it is."""
    return str(text)[:_SHOWN_DIGITS] if _COMMIT.fullmatch(str(text)) else str(text)


def _first_line(text: Any) -> str:
    return str(text or "").partition("\n")[0]


def _gib(value: Any) -> str:
    return f"{value / _GIB:.1f}"


def _command(argv: list[str]) -> str:
    """A command for a shell: a flag with its value on each line."""
    lines: list[str] = []
    for word in argv:
        quoted = shlex.quote(str(word))
        if lines and not word.startswith("--"):
            lines[-1] += f" {quoted}"
        else:
            lines.append(quoted)
    return " \\\n    ".join(lines)
