# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters about the firewall. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t


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
        return {"firewall_rules": firewall_rules, "firewall_comments": firewall_comments}
