# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has read of each of its hosts, and what the inventory and the plan say about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from ansible_collections.inferops.gpu.plugins.module_utils._status.texts import one_line


Item = Mapping[str, Any]

PRESENT, ABSENT = "present", "absent"


@dataclass(frozen=True)
class Host:
    """One host of the run.

    C(status) is the result of M(inferops.gpu.service_status), empty if there is none; C(error) says why. C(facts) are those of
    M(inferops.gpu.host_facts). C(defined) are the states of the inventory's services by name, None if the inventory cannot be read. C(plan) is the host's
    part of the plan, empty without a valid one. C(holds) is whether C(model_service_restart) is false.
    """

    name: str
    address: str = ""
    error: str = ""
    reachable: bool = True
    status: Item = field(default_factory=dict)
    facts: Item = field(default_factory=dict)
    defined: Mapping[str, str] | None = None
    plan: Item = field(default_factory=dict)
    holds: bool = False

    @property
    def was_read(self) -> bool:
        return bool(self.status)

    @property
    def units(self) -> Sequence[Item]:
        """The managed units on the host."""
        found: Sequence[Item] = self.status.get("units", [])
        return found


def host_of(name: str, variables: Item, plan: Item) -> Host:
    """Return a host of the run.

    :param variables: variables of the host, with the registered results C(__status_read), C(__plan_facts) and C(status_defined)
    :param plan: hosts of the plan by name
    """
    read = _of(variables, "__status_read")
    reachable = not read.get("unreachable", False)
    status = read.get("status") if isinstance(read.get("status"), Mapping) else None
    defined = _value(variables, "status_defined")
    address = _value(variables, "ansible_host")
    restart = _value(variables, "model_service_restart")
    return Host(
        name=name, address=address if isinstance(address, str) and address else name,
        error="" if status else one_line(read.get("msg")) or "the state was not read", reachable=reachable, status=status or {},
        facts=_of(_of(variables, "__plan_facts"), "host"), defined=_states(defined) if isinstance(defined, (list, tuple)) else None,
        plan=plan.get(name) or {}, holds=restart is not None and str(restart).lower() in ("false", "no", "off", "0"),
    )


def _states(services: Sequence[Any]) -> dict[str, str]:
    """The states of services by name. An entry that is not a service is left out: the plan reports it."""
    named = [item for item in services if isinstance(item, Mapping) and isinstance(item.get("name"), str)]
    return {str(item["name"]): ABSENT if item.get("state") == ABSENT else PRESENT for item in named}


def _of(variables: Item, name: str) -> Item:
    found = _value(variables, name)
    return found if isinstance(found, Mapping) else {}


def _value(variables: Item, name: str) -> Any:
    return variables[name] if name in variables else None
