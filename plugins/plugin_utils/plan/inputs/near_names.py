# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables with names similar to those of this collection: probably misspelt, which Ansible does not report.

Users may define variables of any name, so this is only a warning. A variable that another one refers to is in use, and not reported.
"""

from __future__ import annotations

import difflib
import re

from typing import Any, Collection, Iterable, Mapping

from ..errors import PlanWarning
from .definitions import names_in

CHECK = "unknown-variable"

# Similarity from 0 to 1: of the part after a role's prefix, and of whole names, whose prefix may be misspelt.
_NEAR = 0.8
_VERY_NEAR = 0.92
# Minimum length of an abbreviation of a whole word: dir for directory.
_SHORT = 3
# Names that the roles and playbooks set themselves, or take only from the command line.
OWN = frozenset({
    "plan_host", "plan_facts", "multi_node_tokens", "model_service_held", "firewall_remove", "firewall_peers", "remove_service", "remove_all",
    "weights_prune", "weights_prune_found", "weights_mirror_found", "status_found", "inferops_result", "inferops_run_report",
    "run_report_deployed", "drift_found", "drift_report", "drift_output", "drift_fail",
    "monitoring_found", "monitoring_plan",
})


class NearNames:
    """Finds such names on each host, and examines each name once.

    :param known: the names of all variables of the roles
    """

    def __init__(self, known: Collection[str]) -> None:
        self._known = sorted(set(known))
        self._all = frozenset(known) | OWN
        self._seen: dict[str, str] = {}

    def warnings(self, host: str, variables: Mapping[str, Any]) -> list[PlanWarning]:
        """Warnings about a host's untemplated variables."""
        suspects = {name: near for name in variables for near in [self._near(name)] if near}
        if not suspects:
            return []
        used = _referred(variables.values(), suspects)
        return [
            PlanWarning(host, "", f"{name} is not a variable of this collection, and no other variable refers to it: did you mean {near}?", CHECK)
            for name, near in suspects.items() if name not in used
        ]

    def _near(self, name: Any) -> str:
        """The variable with a similar name; empty when there is none, or when the name is a variable itself."""
        if not isinstance(name, str) or name in self._all or name.startswith(("_", "ansible_", "awx_", "controller_", "lab_")) or names_in([name]):
            return ""
        if name not in self._seen:
            self._seen[name] = self._behind_prefix(name) or next(iter(difflib.get_close_matches(name, self._known, n=1, cutoff=_VERY_NEAR)), "")
        return self._seen[name]

    def _behind_prefix(self, name: str) -> str:
        """The variable with the same prefix and the most similar rest."""
        prefix, _underscore, rest = name.partition("_")
        rests = [one.partition("_")[2] for one in self._known if one.startswith(prefix + "_")]
        found = difflib.get_close_matches(rest, rests, n=1, cutoff=_NEAR) or [one for one in rests if _in_full(rest, one)]
        return f"{prefix}_{found[0]}" if found else ""


def _in_full(long: str, short: str) -> bool:
    return len(short) >= _SHORT and long.startswith(short) and "_" not in long[len(short):]


def _referred(values: Iterable[Any], names: Collection[str]) -> set[str]:
    """The names that an expression refers to."""
    pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, names)) + r")\b")
    found: set[str] = set()
    for text in _texts(values):
        if "{" in text:
            found.update(pattern.findall(text))
    return found


def _texts(values: Iterable[Any]) -> Iterable[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from _texts(value.values())
        elif isinstance(value, (list, tuple)):
            yield from _texts(value)
