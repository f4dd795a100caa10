#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_adapters
short_description: Load and unload LoRA adapters of running services
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - V(written) writes the file of each service that lists its LoRA adapters, and repairs its owner and mode. A running engine looks at it every
    second, unloads adapters that are gone and loads new ones. It reads the file at each start as well, so a restart changes nothing.
  - V(loaded) waits until each engine lists these adapters in C(/v1/models), and no others. It fails with the engine's reason for each that it refused.
    An engine that does not list them at once tries again what it has refused before; reasons of earlier attempts do not count.
    The engine goes on serving its model and its other adapters.
  - Root owns the files, and no endpoint of the engine loads adapters.
options:
  state:
    description: What to do. In check mode V(loaded) does nothing.
    type: str
    choices: [written, loaded]
    default: written
  services:
    description: Services whose engine follows such a file.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service, for messages.
        type: str
        required: true
      unit:
        description: Its systemd unit.
        type: str
        required: true
      url:
        description: Base URL of its API on this host, without C(/v1).
        type: str
        required: true
      api_key:
        description: Its API key.
        type: str
      file:
        description: The file to write.
        type: path
        required: true
      paths:
        description: Directories of the adapters on this host, by the adapters' names in the API.
        type: dict
        required: true
      static:
        description: Names of adapters that the engine has loaded at its start from its arguments, which the file does not have.
        type: list
        elements: str
        default: []
      served:
        description:
          - File with its last known good state. V(loaded) records the adapters there when the engine serves them, so that a rollback returns to them.
        type: path
  timeout:
    description: Seconds to wait for each engine, for V(loaded).
    type: int
    default: 120
  fail:
    description: Whether V(loaded) fails if an engine does not serve its adapters. If false, it returns C(errors).
    type: bool
    default: true
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Write the adapters of a service
  inferops.gpu.service_adapters:
    services:
      - name: qwen3
        unit: vllm-qwen3.service
        url: http://127.0.0.1:8001
        file: /etc/inferops/adapters/qwen3.json
        paths:
          support: /var/lib/inferops/models/example--support/0123456789abcdef0123456789abcdef01234567
"""

RETURN = r"""
written:
  description: Services whose file was written, or in check mode would be.
  returned: success
  type: list
  elements: str
errors:
  description: Errors by service, for those whose engine does not serve its adapters.
  returned: with O(state=loaded)
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _adapters, _last_known_good
from ..module_utils._service_options import services as services_of


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["written", "loaded"], "default": "written"},
            "services": services_of({
                "name": {"type": "str", "required": True},
                "unit": {"type": "str", "required": True},
                "url": {"type": "str", "required": True},
                "api_key": {"type": "str", "no_log": True},
                "file": {"type": "path", "required": True},
                "paths": {"type": "dict", "required": True},
                "static": {"type": "list", "elements": "str", "default": []},
                "served": {"type": "path"},
            }),
            "timeout": {"type": "int", "default": 120},
            "fail": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    services = module.params["services"]
    try:
        if module.params["state"] == "written":
            changes = {service["name"]: _adapters.write(service["file"], service["paths"], module.check_mode) for service in services}
            found = {name: change for name, change in changes.items() if change}
            diff = {side: {name: change[side] for name, change in found.items()} for side in ("before", "after")}
            module.exit_json(changed=bool(found), written=list(found), diff=diff)
        errors: dict[str, str] = {}
        for service in services if not module.check_mode else []:
            try:
                _adapters.wait(service, module.params["timeout"])
                if service["served"]:
                    _last_known_good.keep_adapters(service["served"])
            except _adapters.NotLoaded as error:
                errors[service["name"]] = str(error)
        if errors and module.params["fail"]:
            module.fail_json(msg="\n".join(errors.values()), errors=errors)
    except (OSError, RuntimeError) as error:
        module.fail_json(msg=f"Cannot handle the adapters of the services: {error}")
    module.exit_json(changed=False, written=[], errors=errors)


if __name__ == "__main__":
    main()
