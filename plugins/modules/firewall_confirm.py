#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: firewall_confirm
short_description: Confirm a change of the firewall over a new connection
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Disarms the rollback that M(inferops.gpu.host_firewall) has armed.
  - Refuses to do so over the connection that made the change, which lives on whatever the rules say.
options:
  state_dir:
    description: Where the collection keeps what it knows of a host.
    type: path
    default: /var/lib/inferops
extends_documentation_fragment:
  - inferops.gpu.attributes.no_diff
  - inferops.gpu.attributes.internal
attributes:
  check_mode:
    description: Confirms nothing.
"""

EXAMPLES = r"""
- name: Use no connection that is open already
  ansible.builtin.meta: reset_connection

- name: Confirm the change
  inferops.gpu.firewall_confirm:
"""

RETURN = r"""
client:
  description: Address that the new connection comes from; empty where it is not SSH's.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._firewall import ssh
from ..module_utils._firewall.rollback import Rollback


def main() -> None:
    module = AnsibleModule(argument_spec={"state_dir": {"type": "path", "default": "/var/lib/inferops"}}, supports_check_mode=True)
    connection = ssh.present_connection()
    client = connection.client if connection is not None else ""
    if module.check_mode:
        module.exit_json(changed=False, client=client)
    rollback = Rollback(module.params["state_dir"])
    try:
        with rollback.locked():
            if not rollback.is_pending():
                module.fail_json(msg="the change was taken back before it could be confirmed; set firewall_rollback_timeout to more seconds")
            if connection is not None and connection.client_port == rollback.client_port():
                module.fail_json(msg="this is still the connection that made the change; the host is not known to answer on a new one")
            rollback.disarm()
    except (OSError, RuntimeError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, client=client)


if __name__ == "__main__":
    main()
