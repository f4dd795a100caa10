#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: weights_units
short_description: Disable or remove the systemd units of downloads
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Disables the units of finished downloads, and removes the units of downloads that are no longer wanted, with their job and status files. So none of them
    starts again at the next boot. The weights stay.
  - Changes only units of this collection, whose names start with C(inferops-weights-).
options:
  disable:
    description: Units to disable, so that they do not start at boot.
    type: list
    elements: str
    default: []
  remove:
    description: Units to stop and remove.
    type: list
    elements: str
    default: []
  state_dir:
    description: Directory of the collection's state on the host.
    type: path
    default: /var/lib/inferops
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Remove the unit of an unwanted download
  inferops.gpu.weights_units:
    remove: [inferops-weights-qwen--qwen3-0.6b-c1899de2.service]
"""

RETURN = r"""
disabled:
  description: Units that were disabled, or would be in check mode.
  returned: success
  type: list
  elements: str
removed:
  description: Units that were removed, or would be in check mode.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _host, _prune


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "disable": {"type": "list", "elements": "str", "default": []},
            "remove": {"type": "list", "elements": "str", "default": []},
            "state_dir": {"type": "path", "default": "/var/lib/inferops"},
        },
        supports_check_mode=True,
    )
    known = _prune.download_units()
    disabled = [unit for unit in module.params["disable"] if known.get(unit)]
    removed = [unit for unit in module.params["remove"] if unit in known]
    if not module.check_mode:
        try:
            if disabled:
                _host.run("systemctl", "disable", *disabled)
            for unit in removed:
                _prune.forget_unit(unit, module.params["state_dir"])
        except OSError as error:
            module.fail_json(msg=f"Cannot remove the unit of a download: {error}")
        left = [unit for unit in disabled if _prune.download_units().get(unit)]
        if left:
            module.fail_json(msg=f"Cannot disable {', '.join(left)}: run systemctl disable on the host to see why.")
    before = [f"{unit} enabled\n" for unit in disabled] + [f"{unit}\n" for unit in removed]
    module.exit_json(
        changed=bool(disabled or removed), disabled=disabled, removed=removed,
        diff={"before": "".join(before), "after": "".join(f"{unit} disabled\n" for unit in disabled)},
    )


if __name__ == "__main__":
    main()
