# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Advisories: known problems of versions and settings, from the role's C(files/advisories.yml)."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Union

from ..errors import PlanError, PlanWarning, shown
from ..host.advisories import facts_of
from ..inputs.settings import networks
from ..placement.draft import HostDraft, ServiceDraft
from .base import check

Finding = Union[PlanError, PlanWarning]


@check(every_engine=True)
def no_advisory_applies(host: HostDraft) -> Iterator[Finding]:
    """No advisory applies to a service. Each finding has the advisory's name, by which a user can accept it."""
    advisories = host.tables.advisories
    reported: set[str] = set()
    for draft in host.services:
        facts = {**advisories.defaults, **facts_of(draft)}
        for advisory in advisories.all:
            if not advisory.applies(facts) or advisory.name in reported:
                continue
            if advisory.once:
                reported.add(advisory.name)
            if advisory.stops:
                fix = f"{advisory.fix} ({advisory.source})"
                yield PlanError(host.name, draft.label, advisory.key, _value(draft, advisory.key), advisory.why, fix, advisory.name)
            else:
                text = f"{advisory.why}; {advisory.fix}".replace("{reach}", _reach(host))
                yield PlanWarning(host.name, "" if advisory.once else draft.label, text, advisory.name)


def _reach(host: HostDraft) -> str:
    """The sources that the host's firewall allows to reach services."""
    settings = host.settings
    if not settings.firewall_enabled:
        return "any source, since firewall_enabled is false"
    public = networks.cover_all_addresses(settings.firewall_api_sources)
    return f"{'any source' if public else ', '.join(settings.firewall_api_sources)} (firewall_api_sources)"


def _value(draft: ServiceDraft, key: str) -> str:
    arguments: Mapping[str, Any] = draft.arguments
    name = key.partition("vllm_args.")[2]
    return shown(arguments[name], name) if name in arguments else ""
