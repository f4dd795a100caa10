#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_accounts
short_description: Create a separate system account for each model service
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Creates system accounts that cannot log in, each with a group of the same name, and adds them to further groups.
  - Fails if an account of that name exists and is unmanaged, or belongs to another service. The module recognizes managed accounts by their comment.
options:
  accounts:
    description: The accounts.
    type: list
    elements: dict
    required: true
    suboptions:
      user:
        description: Name of the account and of its group.
        type: str
        required: true
      service:
        description: Name of the service. It becomes part of the account's comment.
        type: str
        required: true
      home:
        description: Home directory of the account. The module does not create it.
        type: path
        required: true
  groups:
    description: Supplementary groups of each account.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Create the account of the service
  inferops.gpu.service_accounts:
    accounts:
      - user: inferops-qwen3
        service: qwen3
        home: /var/cache/inferops/qwen3
    groups: [inferops]
"""

RETURN = r"""
done:
  description: What was done, or would be in check mode.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accounts


def main() -> None:
    options = {"user": {"type": "str", "required": True}, "service": {"type": "str", "required": True}, "home": {"type": "path", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "dict", "required": True, "options": options},
            "groups": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    done: list[str] = []
    for row in module.params["accounts"]:
        try:
            done += _accounts.ensure(row["user"], row["service"], row["home"], module.params["groups"], module.check_mode)
        except RuntimeError as error:
            module.fail_json(
                msg=f"Cannot create the account of service {row['service']}: {error}. "
                    "Set model_service_account_prefix to another prefix, or rename the existing account or group. No service was touched.",
            )
    module.exit_json(changed=bool(done), done=done, diff={"before": "", "after": "".join(f"{line}\n" for line in done)})


if __name__ == "__main__":
    main()
