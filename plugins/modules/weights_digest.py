#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: weights_digest
short_description: Return digests of weights, to compare them between hosts
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Reads the manifests of downloaded weights, or the verification records of pre-staged weights. Returns one digest for each of the weights, computed from
    the size and sha256 of all files.
  - These files are in directories that the download account can write to. So the module reads them as this account, and returns only the digests.
options:
  weights:
    description: The weights, in the form of the plan. The module uses C(path), and C(record) or else C(manifest).
    type: list
    elements: dict
    required: true
  owner:
    description: Account that owns the weights.
    type: str
    default: inferops
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Read the digests of the host's weights
  inferops.gpu.weights_digest:
    weights: "{{ plan_host.weights }}"
  register: held
"""

RETURN = r"""
digests:
  description: Digests by path of the weights. Weights without a readable manifest are not included.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accounts, _weights_digest


def main() -> None:
    module = AnsibleModule(
        argument_spec={"weights": {"type": "list", "elements": "dict", "required": True}, "owner": {"type": "str", "default": "inferops"}},
        supports_check_mode=True,
    )
    try:
        found = _accounts.as_account(module.params["owner"], _weights_digest.digests, module.params["weights"])
    except KeyError:
        # Without the account there are no weights of its own.
        found = {}
    except OSError as error:
        module.fail_json(msg=f"Cannot read the manifests of the weights: {error}. No service was touched.")
    module.exit_json(changed=False, digests=found)


if __name__ == "__main__":
    main()
