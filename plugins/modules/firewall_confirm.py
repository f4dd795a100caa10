#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: firewall_confirm
short_description: Confirm a firewall change over a new connection
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Cancels the rollback that M(inferops.gpu.host_firewall) has scheduled.
  - Fails if it runs over the connection that made the change. An established connection continues under any rules, so it confirms nothing.
options:
  state_dir:
    description: Directory of the collection's state on the host.
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
- name: Close the open connection
  ansible.builtin.meta: reset_connection

- name: Confirm the change
  inferops.gpu.firewall_confirm:
"""

RETURN = r"""
client:
  description: Source address of the new connection. Empty if the connection does not use SSH.
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
                module.fail_json(msg="the firewall change was rolled back before it was confirmed; increase firewall_rollback_timeout")
            if connection is not None and connection.client_port == rollback.client_port():
                module.fail_json(
                    msg="this is still the connection that made the firewall change, so it does not show that the host accepts a new connection",
                )
            rollback.disarm()
    except (OSError, RuntimeError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, client=client)


if __name__ == "__main__":
    main()
