# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that select the hosts of a play. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

from ansible import context
from ansible.errors import AnsibleFilterError
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.definitions import names_in

NOTHING = (
    "The inventory has no host, so there is nothing to do. Fix: check the path after -i (Ansible only warns about a missing path), and that the "
    "inventory has hosts: `ansible-inventory --list` shows what Ansible finds."
)


def serves(variables: t.Mapping[str, t.Any]) -> bool:
    """Return whether a host's variables define services in model_services or model_services_<suffix>. Does not template them."""
    return bool(names_in(variables))


def some_serve(hosts: t.Iterable[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]]) -> bool:
    """Return whether one of these hosts defines services. Stops at the first one that does."""
    return any(serves(hostvars[host]) for host in hosts)


def with_hosts(pattern: str, groups: t.Mapping[str, t.Sequence[str]]) -> str:
    """Return the host pattern unchanged. An inventory without hosts is an error, with any limit."""
    # --syntax-check works without an inventory.
    if not groups.get("all") and not context.CLIARGS.get("syntax"):
        raise AnsibleFilterError(NOTHING)
    return pattern


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"serves": serves, "some_serve": some_serve, "with_hosts": with_hosts}
