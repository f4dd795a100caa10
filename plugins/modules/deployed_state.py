#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: deployed_state
short_description: Read what is deployed on a GPU host, to compare it later
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Reads units, firewall rules, kernel parameters, releases, weights, versions and listening ports, as texts that a later reading can be compared with.
  - The report of a run of C(site.yml) contains the result, and C(playbooks/drift.yml) compares it with a new one.
  - Changes nothing and works on a freshly installed host. What could not be read is in RV(unread). The result contains no secrets.
options:
  install_dir:
    description: Installation directory of tools and programs.
    type: path
    default: /opt/inferops
  releases_dir:
    description: Directory of vLLM releases.
    type: path
    default: /opt/inferops/releases
  weights_dir:
    description: Directory of model weights.
    type: path
    default: /var/lib/inferops/models
  state_dir:
    description: Directory of the collection's state on the host.
    type: path
    default: /var/lib/inferops
  config_dir:
    description: Directory of the environment files of services.
    type: path
    default: /etc/inferops
  account:
    description: Name of the account that runs downloads.
    type: str
    default: inferops
  sysctl:
    description: Kernel parameters to read in addition to those that the collection sets by default, as names or as dictionaries with the names as keys.
    type: raw
    default: []
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
seealso:
  - module: inferops.gpu.run_report
  - module: inferops.gpu.drift
"""

EXAMPLES = r"""
- name: Read the deployed state
  inferops.gpu.deployed_state:
  register: deployed

- name: Show the state of the services' units
  ansible.builtin.debug:
    msg: "{{ deployed.state.units }}"
"""

RETURN = r"""
state:
  description: >-
    A dictionary of texts for each part: C(system), C(gpus), C(units), C(unit_files), C(environment_files), C(firewall), C(firewall_rules), C(sysctl),
    C(kernel), C(kernel_files), C(releases), C(weights), C(programs) and C(ports). A part that could not be read is missing.
  returned: always
  type: dict
releases:
  description: >-
    Complete releases by name, with C(engine), C(version), C(torch), C(cuda), C(python), C(lock) (sha256 of C(requirements.lock)) and C(built) (seconds
    since 1970).
  returned: always
  type: dict
weights:
  description: >-
    Complete weights by path, with C(digest) (of size and sha256 of all files) and C(unchanged) (whether the files still have the sizes and times of
    their verification).
  returned: always
  type: dict
listeners:
  description: >-
    Listening TCP and UDP sockets with C(protocol), C(port), C(address), C(owner) (the systemd unit, or else the program), and C(random) (whether the
    port is in the kernel's range for sockets without a port of their own).
  returned: always
  type: list
  elements: dict
firewall:
  description: >-
    Rules of UFW, each with C(family), C(action), C(port), C(protocol), C(source), C(comment) and C(elsewhere). Null if UFW does not close ports that no
    rule opens, or could not be read.
  returned: always
  type: list
  elements: dict
unread:
  description: Parts that could not be read, each with the reason.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _deployed_state, _reading


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "install_dir": {"type": "path", "default": "/opt/inferops"},
            "releases_dir": {"type": "path", "default": "/opt/inferops/releases"},
            "weights_dir": {"type": "path", "default": "/var/lib/inferops/models"},
            "state_dir": {"type": "path", "default": "/var/lib/inferops"},
            "config_dir": {"type": "path", "default": "/etc/inferops"},
            "account": {"type": "str", "default": "inferops"},
            "sysctl": {"type": "raw", "default": []},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **_reading.clean(_deployed_state.read(module.params)))


if __name__ == "__main__":
    main()
