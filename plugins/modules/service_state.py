#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_state
short_description: Start, restart or remove model services as needed
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Brings the systemd units of all model services of a host to the wanted state, in one call.
  - Restarts a service only if the running process was started with a different unit file or environment file. The unit records both at each start. So the
    module also detects a pending restart when an earlier run was killed after it had written the files.
  - Fails if a unit exists that this collection did not write, and changes nothing then.
  - Does not wait until the services are ready. Use M(inferops.gpu.follow_unit) for that.
options:
  services:
    description: The services.
    type: list
    elements: dict
    required: true
    suboptions:
      unit:
        description: Name of the systemd unit.
        type: str
        required: true
      environment_file:
        description: Environment file with the service's secrets.
        type: path
        required: true
      cache:
        description: Cache directory. Removed with an absent service.
        type: path
      served:
        description: File with the last known good state. Removed with an absent service.
        type: path
      folders:
        description: Further directories. Removed with an absent service.
        type: list
        elements: path
        default: []
      account:
        description: Account of the service. Removed with an absent service if the collection created it.
        type: str
      state:
        description:
          - Whether the service should exist.
          - V(former) is for a unit that other units of the service replace, for example after a change of the backend. It is stopped, and its unit and
            environment file are removed. Its last known good state stays until the other units have passed the health gate, so that a rollback can
            restore the unit. Without such a state it is removed like V(absent).
        type: str
        choices: [present, absent, former]
        default: present
  environments:
    description:
      - Environment files. The module writes them before it starts any service. They contain secrets, so root owns them with mode 0600, and neither results
        nor diffs show their contents.
    type: list
    elements: dict
    default: []
    suboptions:
      unit:
        description: Unit that reads the file.
        type: str
        required: true
      path:
        description: Path of the file.
        type: path
        required: true
      content:
        description:
          - Text of the file, base64-encoded. Ansible masks a secret in its logs only if the log contains the value unchanged, which is not the case for a
            text with several lines.
        type: str
        required: true
  rewritten:
    description:
      - Units whose unit file an earlier task has changed.
      - Needed in check mode, where the unit files on the host are still the old ones. The module then reports that these units would be restarted.
    type: list
    elements: str
    default: []
  held:
    description: Units to leave unchanged, even if they need a restart.
    type: list
    elements: str
    default: []
  start:
    description: Whether to start services. With V(false), the module only enables them.
    type: bool
    default: true
extends_documentation_fragment:
  - inferops.gpu.attributes
"""

EXAMPLES = r"""
- name: Start, restart or remove services
  inferops.gpu.service_state:
    services:
      - unit: vllm-qwen3.service
        environment_file: /etc/inferops/qwen3.env
      - unit: vllm-old.service
        environment_file: /etc/inferops/old.env
        state: absent
"""

RETURN = r"""
actions:
  description: >-
    Actions by unit, each one of V(none), V(enable), V(start), V(restart), V(retire) (stopped, with its last known good state kept), V(remove) and
    V(held).
  returned: success
  type: dict
written:
  description: Environment files that were written, or in check mode would be.
  returned: success
  type: list
  elements: str
restarts:
  description: Units that were restarted, or in check mode would be.
  returned: success
  type: list
  elements: str
stops:
  description: Former units that ran and were stopped, or in check mode would be.
  returned: success
  type: list
  elements: str
waiting:
  description: Units that have to pass the health gate. They were started by this task, or they have not passed the health gate since their last start, or
    their last known good state was not recorded.
  returned: success
  type: list
  elements: str
"""

import base64
import dataclasses

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _service, _writing
from ..module_utils._host import service_of
from ..module_utils._service_options import UNIT, services as services_of


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "services": services_of(UNIT, {
                "cache": {"type": "path"},
                "served": {"type": "path"},
                "folders": {"type": "list", "elements": "path", "default": []},
                "account": {"type": "str"},
                "state": {"type": "str", "choices": ["present", "absent", "former"], "default": "present"},
            }),
            "environments": {
                "type": "list", "elements": "dict", "default": [],
                "options": {
                    "unit": {"type": "str", "required": True},
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True, "no_log": True},
                },
            },
            "rewritten": {"type": "list", "elements": "str", "default": []},
            "held": {"type": "list", "elements": "str", "default": []},
            "start": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    held = set(module.params["held"])
    keys = ("unit", "environment_file", "cache", "state", "served", "folders", "account")
    wanted = [_service.Service(*(item[key] for key in keys)) for item in module.params["services"]]
    unmanaged = [service.unit for service in wanted if service.is_unmanaged()]
    if unmanaged:
        module.fail_json(
            msg=f"{', '.join(unmanaged)}: the host has a unit of this name that was not written by inferops.gpu. "
                "Give the service another name, or move that unit away. Nothing was changed.",
        )
    try:
        texts = {item["path"]: base64.b64decode(item["content"], validate=True).decode() for item in module.params["environments"]}
        given = [item for item in module.params["environments"] if item["unit"] not in held]
        written = [item for item in given if not _service.has_environment(item["path"], texts[item["path"]])]
        for item in written if not module.check_mode else []:
            _writing.replace(item["path"], texts[item["path"]], 0o600, durable=True)
        rewritten = [*module.params["rewritten"], *(item["unit"] for item in written)] if module.check_mode else []
        actions, waiting, stops = bring([service for service in wanted if service.unit not in held], module.params["start"], rewritten, module.check_mode)
    except (RuntimeError, OSError) as error:
        module.fail_json(msg=str(error))
    changed = {unit: action for unit, action in actions.items() if action != "none"}
    module.exit_json(
        changed=bool(changed or written), written=[item["path"] for item in written], actions={**actions, **dict.fromkeys(held, "held")}, waiting=waiting,
        restarts=[unit for unit, action in actions.items() if action == "restart"], stops=stops,
        diff={
            "before": {**dict.fromkeys(changed, "none"), **{item["path"]: "different or missing" for item in written}},
            "after": {**changed, **{item["path"]: "written" for item in written}},
        },
    )


def bring(services: list[_service.Service], start: bool, rewritten: list[str], check_mode: bool) -> tuple[dict[str, str], list[str], list[str]]:
    """Carry out the action that each unit needs, or in check mode only determine it. Raises RuntimeError with systemctl's message, OSError.

    Returns the actions by unit, the units that have to pass the health gate, and the former units that ran.
    """
    if not check_mode:
        _service.reload_if_needed(services)
        # Units of a service share folders. No process may use them while another unit takes them over.
        for service in services:
            if start and service.state == "present" and service.runs_as_another():
                service.stop()
    actions: dict[str, str] = {}
    waiting: list[str] = []
    stops: list[str] = []
    synced = check_mode
    for service in services:
        action = service.needed_action(start)
        if start and action in ("none", "enable") and service.state == "present" and service.unit in rewritten:
            action = "restart"
        actions[service.unit] = action
        if not synced and action != "none":
            # Ansible does not sync the unit files that it writes. After a power cut an empty one would count as masked.
            _writing.sync_filesystem(_service.UNIT_DIRECTORY)
            synced = True
        if service.state == "former" and action != "none" and service.occupies():
            stops.append(service.unit)
        if not check_mode:
            service.do(action)
        if service.state == "present" and start and (action != "none" or not service.was_checked() or not service.is_kept()):
            waiting.append(service.unit)
    # What replaces them has passed the health gate before: no rollback returns to them.
    gated = {service_of(unit) for unit in waiting}
    for service in services:
        if start and service.state == "former" and service_of(service.unit) not in gated:
            rest = dataclasses.replace(service, state="absent")
            if rest.needed_action(start) == "remove":
                actions[service.unit] = "remove"
                rest.do("none" if check_mode else "remove")
    return actions, waiting, stops


if __name__ == "__main__":
    main()
