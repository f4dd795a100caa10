# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host as the doctor sees it: facts, findings of the host itself, its part of the plan. Each may be missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import Finding

# The collection's default directories, for a host without a plan.
DIRECTORIES: Mapping[str, str] = {
    "releases": "/opt/inferops/releases", "models": "/var/lib/inferops/models", "state": "/var/lib/inferops", "cache": "/var/cache/inferops",
}


@dataclass(frozen=True)
class Host:
    """C(unreachable) is why the host could not be reached, empty for others. C(failed) are tasks that failed there, by their subject.

    C(facts) are those of host_facts, C(found) is the result of host_diagnosis, C(plan) the host's plan; empty when there is none.
    """

    name: str
    unreachable: str = ""
    failed: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)

    @property
    def services(self) -> Sequence[Mapping[str, Any]]:
        """The plan's services with C(state=present)."""
        return [service for service in self.plan.get("services", ()) if service.get("state") == "present"]

    @property
    def running(self) -> Sequence[Mapping[str, Any]]:
        """What the managed units run."""
        return list(self.found.get("running", ()))

    def names(self) -> list[str]:
        """Names of all services that the plan or the host has."""
        known = [service["name"] for service in self.services] + [unit["service"] for unit in (*self.running, *self.facts.get("services", ()))]
        return sorted(dict.fromkeys(known))

    def directories(self) -> dict[str, str]:
        """The directories that the host needs space in, by what they hold."""
        paths = self.plan.get("paths", {})
        return {name: str(paths.get(name, path)) for name, path in DIRECTORIES.items()}


Findings = Iterator[Finding]
