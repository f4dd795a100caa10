#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_control
short_description: Start, stop or restart the units of model services as they are
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Changes no file. M(inferops.gpu.service_state) brings units to the state of a plan.
  - V(stopped) waits until no process of the unit is left. The unit drains the service first. It also removes the temporary unit of a blue/green update that
    a run may have left.
  - V(started) and V(restarted) do not wait until the service is ready. Use M(inferops.gpu.follow_unit) for that.
  - A start does not back off for failures of previous starts.
options:
  units:
    description: Names of the units, in the order of their start. They stop in the opposite order.
    type: list
    elements: str
    required: true
  state:
    description: V(started) leaves units alone that run or are starting, V(stopped) those that do not run.
    type: str
    choices: [started, stopped, restarted]
    required: true
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Restart a service
  inferops.gpu.service_control:
    units: [vllm-qwen3.service]
    state: restarted
"""

RETURN = r"""
units:
  description: Units that were started, stopped or restarted, or in check mode would be.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _service

# States of a unit in which it has processes, or will have.
RUNNING = ("active", "activating", "reloading")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped", "restarted"], "required": True},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    # Their files are not of interest here.
    services = [_service.Service(unit, "", None, "present") for unit in module.params["units"]]
    try:
        unmanaged = [service.unit for service in services if service.is_unmanaged() or service.properties()["LoadState"] == "not-found"]
        if unmanaged:
            module.fail_json(msg=f"{', '.join(unmanaged)}: the host has no unit of this name that inferops.gpu has written. Nothing was changed.")
        changed = []
        for service in reversed(services) if state == "stopped" else services:
            active = service.properties()["ActiveState"]
            # A run that has died may have left an engine beside the service, to which connections are redirected.
            stops_green = state == "stopped" and service.has_green()
            if state == "restarted" or stops_green or (active in RUNNING) == (state == "stopped"):
                changed.append(service.unit)
                if not module.check_mode:
                    apply(service, state)
    except (RuntimeError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), units=changed, diff={"before": {}, "after": dict.fromkeys(changed, state)})


def apply(service: _service.Service, state: str) -> None:
    """Start, stop or restart a service. Raises RuntimeError and OSError."""
    if state == "stopped":
        service.remove_green()
        service.stop()
    else:
        service.do({"started": "start", "restarted": "restart"}[state])


if __name__ == "__main__":
    main()
