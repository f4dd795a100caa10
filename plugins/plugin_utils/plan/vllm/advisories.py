# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Advisories from C(advisories.yml), and whether their conditions apply to a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..versions import Version, parse


@dataclass(frozen=True)
class Advisory:
    """One advisory: its name, conditions, reason and fix. C(stops): it is an error; C(once): it is reported once for each host."""

    name: str
    key: str
    conditions: Mapping[str, Mapping[str, Any]]
    why: str
    fix: str
    source: str
    stops: bool
    once: bool

    def applies(self, facts: Mapping[str, Any]) -> bool:
        """Whether all conditions are met. A missing fact, or None, is unknown."""
        return all(_holds(facts.get(fact), condition) for fact, condition in self.conditions.items())


class Advisories:
    """All advisories, in the order of the file.

    :raises ValueError: when the file is invalid, which is a bug of this collection
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.defaults: dict[str, Any] = dict(data["defaults"])
        self.all = tuple(_read(name, raw) for name, raw in data["advisories"].items())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(advisory.name for advisory in self.all)


def _read(name: str, raw: Mapping[str, Any]) -> Advisory:
    for condition in raw["when"].values():
        for relation, bound in condition.items():
            if relation not in _RELATIONS or (relation in ("since", "before") and parse(str(bound)) is None):
                raise ValueError(f"the condition {relation}: {bound} of the advisory {name} is invalid")
    if raw["severity"] not in ("error", "warning"):
        raise ValueError(f"the advisory {name} is neither an error nor a warning")
    return Advisory(name, raw["key"], raw["when"], raw["why"], raw["fix"], raw["source"], raw["severity"] == "error", raw.get("once", False))


def _holds(fact: Any, condition: Mapping[str, Any]) -> bool:
    return all(_RELATIONS[relation](fact, bound) for relation, bound in condition.items())


def _version(text: Any) -> Version:
    read = parse(str(text))
    if read is None:
        raise ValueError(f"{text!r} is not a version")
    return read


_RELATIONS: dict[str, Any] = {
    "since": lambda fact, bound: isinstance(fact, Version) and fact >= _version(bound),
    "before": lambda fact, bound: isinstance(fact, Version) and fact < _version(bound),
    "above": lambda fact, bound: isinstance(fact, (int, float)) and not isinstance(fact, bool) and fact > bound,
    "is": lambda fact, bound: fact is not None and fact == bound,
    "is_not": lambda fact, bound: fact != bound,
}
