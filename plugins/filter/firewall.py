# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters about the firewall. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils._firewall import rules, steps
from ..module_utils._firewall.state import State


def firewall_settled(facts: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any]) -> bool:
    """Return whether nothing is to be done: the host's firewall is as the plan wants it, and no change waits to be confirmed."""
    state = State.of(facts.get("state", {}))
    try:
        found = steps.plan(state, steps.wanted_rules(firewall_rules(wanted), state.ipv6), wanted["logging"])
    except steps.Refused:
        # The module tells it.
        return False
    except rules.Unreadable as error:
        raise AnsibleFilterError(str(error)) from error
    return not found.steps and not state.pending


def firewall_rules(wanted: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return the plan's rules as the module host_firewall takes them, one for each source."""
    return [{**{key: rule[key] for key in ("port", "protocol", "comment")}, "source": source} for rule in wanted["rules"] for source in rule["sources"]]


def firewall_comments(wanted: t.Mapping[str, t.Any], service: str) -> list[str]:
    """Return the comments of the rules that go with a service, or with all services where it is C(all)."""
    named = (rule for rule in wanted["rules"] if rule["services"] and (service == "all" or rule["services"] == [service]))
    return sorted({rule["comment"] for rule in named})


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {"firewall_settled": firewall_settled, "firewall_rules": firewall_rules, "firewall_comments": firewall_comments}
