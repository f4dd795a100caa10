#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: monitoring_facts
short_description: Find out what monitoring a host has already
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Finds out which packages of Prometheus and its companions a host has, and what an administrator has changed about them. Changes nothing.
options:
  packages:
    description: Debian packages.
    type: list
    elements: str
    required: true
  units:
    description: Units of these packages.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Find out what monitoring the host has
  inferops.gpu.monitoring_facts:
    packages: [prometheus-node-exporter]
    units: [prometheus-node-exporter.service]
  register: found
"""

RETURN = r"""
installed:
  description: The packages that are installed.
  returned: success
  type: list
  elements: str
modified:
  description: >-
    Configuration files that differ from those of their packages, and files that replace or change units, without this collection's.
  returned: success
  type: list
  elements: str
grafana:
  description: Whether the host has a configuration of Grafana.
  returned: success
  type: bool
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _package_changes


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "required": True},
            "units": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    packages, units = module.params["packages"], module.params["units"]
    module.exit_json(
        changed=False, installed=_package_changes.installed(packages),
        modified=[*_package_changes.changed_files(packages), *_package_changes.changed_units(units)],
        grafana=os.path.isdir("/etc/grafana"),
    )


if __name__ == "__main__":
    main()
