#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: multi_node_network
short_description: Check connectivity between the nodes of multi-node services
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - With O(listen) it listens for a while on those of the ports that are free, in a process of its own, so that other nodes have somebody to reach.
  - With O(end) it ends what listens, also for a run that died.
  - Without both it tells the way to each of the other nodes (the interface, its own address and MTU by the kernel's routes), which of their ports
    answer, how far their clock is from this host's, and which RDMA devices this host has.
  - Changes nothing.
options:
  address:
    description: This node's address.
    type: str
    required: true
  ports:
    description: Ports to listen on.
    type: list
    elements: int
    default: []
  listen:
    description: Seconds to listen for; V(0) looks at the other nodes instead.
    type: int
    default: 0
  end:
    description: End what listens.
    type: bool
    default: false
  peers:
    description: The other nodes. One that is named several times, for several services, is checked once with all of its ports.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Name of the node.
        type: str
        required: true
      address:
        description: Its address.
        type: str
        required: true
      ports:
        description: Its ports.
        type: list
        elements: int
        required: true
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: See how to reach the other node
  inferops.gpu.multi_node_network:
    address: 10.0.0.1
    peers:
      - host: gpu2
        address: 10.0.0.2
        ports: [6381, 6382]
"""

RETURN = r"""
peers:
  description: >-
    By node the C(interface), C(source) address and C(mtu) by which it is reached, the C(closed) ports with why each is, and the C(skew) of its clock in
    seconds, null where nobody told.
  returned: success
  type: dict
rdma:
  description: RDMA devices with C(name), C(state) and C(link_layer) of their first port.
  returned: success
  type: list
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _multi_node_network


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "int", "default": []},
            "listen": {"type": "int", "default": 0},
            "end": {"type": "bool", "default": False},
            "peers": {
                "type": "list", "elements": "dict", "default": [],
                "options": {
                    "host": {"type": "str", "required": True},
                    "address": {"type": "str", "required": True},
                    "ports": {"type": "list", "elements": "int", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    wanted = module.params
    if wanted["end"]:
        _multi_node_network.end_listening()
        module.exit_json(changed=False)
    if wanted["listen"]:
        try:
            taken = _multi_node_network.listen_for(wanted["address"], wanted["ports"], wanted["listen"])
        except OSError as error:
            module.fail_json(msg=f"{wanted['address']} is not an address of this host, or can't be listened on: {error}")
        module.exit_json(changed=False, taken=taken)
    found = _multi_node_network.each_once(wanted["peers"])
    peers = {peer["host"]: _multi_node_network.look_at(peer["address"], peer["ports"]) for peer in found}
    module.exit_json(changed=False, peers=peers, rdma=_multi_node_network.rdma_devices())


if __name__ == "__main__":
    main()
