#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_diagnosis
short_description: Find causes of trouble on a GPU host that its facts do not show
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Checks the libraries that services load, their units, engines, certificates, proxies and network, and the host's PCI bus, NUMA nodes, clock and memory.
  - Reads the managed units of the host, so it needs no valid plan. What only the plan knows is in its options.
  - Changes nothing. Each check has a time limit of 30 seconds, and what it could not read is in the result.
  - The playbook C(playbooks/doctor.yml) uses this module, with M(inferops.gpu.host_facts) and M(inferops.gpu.diagnosis_report).
options:
  services:
    description: What the plan knows about the services of the host.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: Name of the service.
        type: str
        required: true
      names:
        description: Names and addresses that the service's certificate has to be valid for.
        type: list
        elements: str
        default: []
      address:
        description: Address of this node of a multi-node service.
        type: str
        default: ""
      interface:
        description: Network interface of this node.
        type: str
        default: ""
      peers:
        description: The other nodes, each with C(host) and C(address).
        type: list
        elements: dict
        default: []
        suboptions:
          host:
            description: Name of the other node.
            type: str
            required: true
          address:
            description: Address of the other node.
            type: str
            required: true
  driver_version:
    description: Version of the driver according to C(nvidia-smi). Used if the version of the kernel module cannot be read.
    type: str
    default: ""
  mirrors:
    description: Servers to send one small request to.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What the server is, for messages.
        type: str
        required: true
      url:
        description: URL to request.
        type: str
        required: true
      setting:
        description: Variable that names the server, for messages.
        type: str
        required: true
      measure:
        description: Whether to request a megabyte and to measure the rate.
        type: bool
        default: false
      authenticate:
        description: Whether the server gets O(token).
        type: bool
        default: false
  token:
    description: Access token for servers with O(mirrors[].authenticate).
    type: str
    default: ""
  min_rate:
    description: Rate in bytes per second below which a server is slow.
    type: int
    default: 0
  state_dir:
    description: Directory of the collection's state on the host.
    type: path
    default: /var/lib/inferops
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
  - inferops.gpu.options.proxy
seealso:
  - module: inferops.gpu.diagnosis_report
"""

EXAMPLES = r"""
- name: Find causes of trouble
  inferops.gpu.host_diagnosis:
  register: found

- name: Show them
  ansible.builtin.debug:
    msg: "{{ found.findings | map(attribute='cause') }}"
"""

RETURN = r"""
findings:
  description: Causes, each with C(check) (a stable name), C(level) (V(error) or V(warning)), C(service) (null for the host), C(cause), C(command) (the
    command to run next) and C(detail).
  returned: success
  type: list
  elements: dict
unknown:
  description: What could not be read, with the reason, by subject.
  returned: success
  type: dict
running:
  description: What each managed unit runs, with C(unit), C(service), C(engine), C(version), C(release), C(ray), C(arguments) (numbers and switches only),
    C(active) and C(port).
  returned: success
  type: list
  elements: dict
interfaces:
  description: MTU of each network interface.
  returned: success
  type: dict
clock:
  description: Time of the host in seconds since 1970, when the module C(started) and C(ended).
  returned: success
  type: dict
controller:
  description: Time of the controller before the module was sent and after its result arrived (C(before) and C(after)).
  returned: success
  type: dict
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _masking, _proxy, diagnosis
from ..module_utils.diagnosis import network
from ..module_utils.diagnosis.commands import Unread
from ..module_utils.diagnosis.context import Context, Known, Peer


def context_of(given: dict[str, t.Any]) -> Context:
    """Return the context of the checks from the module's options."""
    known = {
        item["service"]: Known(item["names"], item["address"], item["interface"], [Peer(peer["host"], peer["address"]) for peer in item["peers"]])
        for item in given["services"]
    }
    mirrors = [{**mirror, "token": given["token"] if mirror["authenticate"] else ""} for mirror in given["mirrors"]]
    return Context(
        known=known, driver=given["driver_version"], mirrors=mirrors, min_rate=given["min_rate"], failures=f"{given['state_dir']}/failures",
    )


def interfaces() -> dict[str, int]:
    """Return the MTU of each interface; empty when ip does not answer."""
    try:
        return {name: link["mtu"] for name, link in network.read_links().items()}
    except Unread:
        return {}


def without_secrets(value: t.Any, *secrets: str) -> t.Any:
    """Return a result without secrets, which servers and programs may quote."""
    if isinstance(value, dict):
        return {key: without_secrets(item, *secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item, *secrets) for item in value]
    return _masking.masked(value, *secrets) if isinstance(value, str) else value


def main() -> None:
    started = time.time()
    peer = {"host": {"type": "str", "required": True}, "address": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "default": [], "options": {
                "service": {"type": "str", "required": True},
                "names": {"type": "list", "elements": "str", "default": []},
                "address": {"type": "str", "default": ""},
                "interface": {"type": "str", "default": ""},
                "peers": {"type": "list", "elements": "dict", "default": [], "options": peer},
            }},
            "driver_version": {"type": "str", "default": ""},
            "mirrors": {"type": "list", "elements": "dict", "default": [], "options": {
                "name": {"type": "str", "required": True},
                "url": {"type": "str", "required": True},
                "setting": {"type": "str", "required": True},
                "measure": {"type": "bool", "default": False},
                "authenticate": {"type": "bool", "default": False},
            }},
            "token": {"type": "str", "default": "", "no_log": True},
            "min_rate": {"type": "int", "default": 0},
            "state_dir": {"type": "path", "default": "/var/lib/inferops"},
            **_proxy.OPTIONS,
        },
        supports_check_mode=True,
    )
    given = module.params
    _proxy.apply(given["proxy"], given["proxy_password"])
    found = without_secrets(diagnosis.run(context_of(given)), given["token"], given["proxy_password"])
    module.exit_json(changed=False, **found, interfaces=interfaces(), clock={"started": started, "ended": time.time()})


if __name__ == "__main__":
    main()
