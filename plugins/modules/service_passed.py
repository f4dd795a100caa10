#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_passed
short_description: Keep what has passed its gate, on each of the hosts that serve it together
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Marks the present start of units as checked, and keeps their files to go back to with M(inferops.gpu.service_rollback).
    M(inferops.gpu.api_check) does so by itself for a service on one host. Of a service over several only the head can be asked, and what it
    answers holds for all of its units.
options:
  services:
    description: The units.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service.
        type: str
        required: true
      unit:
        description: Name of the systemd unit.
        type: str
        required: true
      environment_file:
        description: File with the unit's secret environment.
        type: path
        required: true
      served:
        description: File that the state is kept in. It is root's alone.
        type: path
        required: true
      release:
        description: Name of the release that the unit runs on.
        type: str
        required: true
      release_path:
        description: Where the release stands.
        type: path
        required: true
      weights_path:
        description: Where the weights stand.
        type: path
        required: true
extends_documentation_fragment:
  - inferops.gpu.attributes.no_diff
  - inferops.gpu.attributes.internal
attributes:
  check_mode:
    description: Keeps nothing.
seealso:
  - module: inferops.gpu.api_check
"""

EXAMPLES = r"""
- name: Keep what has passed
  inferops.gpu.service_passed:
    services: "{{ plan_host.services | inferops.gpu.kept_rows(['qwen3']) }}"
"""

RETURN = r"""#"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _passed


def main() -> None:
    keys = ("environment_file", "served", "release_path", "weights_path")
    options = {key: {"type": "path" if key in keys else "str", "required": True} for key in ("name", "unit", "release", *keys)}
    module = AnsibleModule(
        argument_spec={"services": {"type": "list", "elements": "dict", "required": True, "options": options}}, supports_check_mode=True,
    )
    if not module.check_mode:
        for row in module.params["services"]:
            try:
                _passed.mark(row["name"], row["unit"], row)
            except (RuntimeError, OSError) as error:
                module.fail_json(msg=f"The state of {row['unit']} that has passed its gate can't be kept: {error}")
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
