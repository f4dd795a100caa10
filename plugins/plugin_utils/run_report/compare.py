# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between the state of hosts that a report has and their present state."""

from __future__ import annotations

import re

from dataclasses import asdict, dataclass
from typing import Any, Iterable, Mapping

from .contents import clean

ABSENT = "absent"

# How a line names an item of each part of the state.
_LABELS = {
    "system": "{}", "gpus": "{}", "units": "unit {}", "unit_files": "file {}", "environment_files": "file {}", "firewall": "firewall, {}",
    "firewall_rules": "firewall rule {}", "sysctl": "kernel parameter {}", "kernel": "kernel, {}", "kernel_files": "file {}", "releases": "release {}",
    "weights": "weights {}", "programs": "program {}", "ports": "port {}",
}
# Parts of the state that a job of the module deployed_state reads together.
_READ_WITH = {"firewall_rules": "firewall", "sysctl": "kernel", "kernel_files": "kernel", "ports": "listeners"}
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Difference:
    """One item that differs: the part of the state, the item, and both texts."""

    part: str
    item: str
    was: str
    now: str

    def line(self, host: str) -> str:
        """The difference for people, with the first digits of digests."""
        return f"{host}: {label(self.part, self.item)}: {_short(self.was)} → {_short(self.now)}"


@dataclass(frozen=True)
class Compared:
    """A host: the report that it was compared with and its time, what differs, and what was not compared, with the reason."""

    host: str
    report: str
    since: str
    result: str
    differences: tuple[Difference, ...]
    unread: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "report": self.report, "since": self.since, "result": self.result, "differences": [asdict(one) for one in self.differences],
            "unread": dict(self.unread),
        }


def label(part: str, item: str) -> str:
    """What a line says about an item."""
    return _LABELS.get(part, part + " {}").format(item)


def compare(host: str, report: str, run: Mapping[str, Any], then: Mapping[str, Any], now: Mapping[str, Any]) -> Compared:
    """Compare a host of a report with the result of the module C(deployed_state).

    :param report: path of the report
    :param run: its C(run)
    :param then: its entry of the host
    """
    before, after = (_texts(one.get("state")) for one in (then, _clean(now)))
    unread: dict[str, str] = {}
    for when, one in (("in the report", then), ("now", now)):
        reasons = one.get("unread")
        for part, reason in reasons.items() if isinstance(reasons, Mapping) else ():
            unread.setdefault(str(part), f"not read {when}: {clean(str(reason))}")
    differences = []
    for part in dict.fromkeys([*_LABELS, *before, *after]):
        if part in before and part in after:
            differences += list(_differences(part, before[part], after[part]))
        elif part in before or part in after or part in _LABELS:
            reading = _READ_WITH.get(part, part)
            if part == "weights" and "local_weights" in unread:
                continue
            if "state" not in unread:
                unread.setdefault(reading, f"not read {'now' if part in before else 'in the report'}")
    return Compared(
        host, report, str(run.get("ended") or "unknown"), str(then.get("result") or "unknown"), tuple(differences), tuple(sorted(unread.items())),
    )


def _clean(result: Mapping[str, Any]) -> dict[str, Any]:
    """The state as a report would have it."""
    return {"state": clean(result.get("state") or {})}


def _texts(state: Any) -> dict[str, dict[str, str]]:
    if not isinstance(state, Mapping):
        return {}
    return {str(part): {str(key): str(value) for key, value in items.items()} for part, items in state.items() if isinstance(items, Mapping)}


def _differences(part: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[Difference]:
    for item in sorted({*before, *after}):
        was, now = before.get(item, ABSENT), after.get(item, ABSENT)
        if was != now:
            yield Difference(part, item, was, now)


def _short(text: str) -> str:
    return _SHA256.sub(lambda match: match[0][:_SHOWN_DIGITS], text)


def lines(found: Iterable[Compared]) -> list[str]:
    """The comparison for people: a line for each difference and for what was not compared, and one for each report that all hosts match."""
    rows: list[str] = []
    same: dict[str, list[str]] = {}
    for one in found:
        rows += [difference.line(one.host) for difference in one.differences]
        rows += [f"{one.host}: {part}: {reason}" for part, reason in one.unread]
        if not one.differences and not one.unread:
            same.setdefault(one.since, []).append(one.host)
    rows += [f"{_names(hosts)}: nothing differs since {since}" for since, hosts in same.items()]
    return rows


def _names(hosts: list[str]) -> str:
    few = 5
    return ", ".join(hosts) if len(hosts) <= few else f"{', '.join(hosts[:few])} and {len(hosts) - few} more hosts"
