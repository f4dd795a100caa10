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
  - With O(listen), starts a background process that listens on the free ports among O(ports) for some time, so that other nodes can connect to them.
  - With O(end), stops that process, including one of an earlier run that was killed.
  - Without both, checks the connection to each of O(peers). Reports the interface, source address and MTU of the kernel's route, the ports that cannot
    be reached, the clock skew, and the RDMA devices of this host.
  - Changes no configuration.
options:
  address:
    description: Address of this node.
    type: str
    required: true
  ports:
    description: Ports to listen on.
    type: list
    elements: int
    default: []
  listen:
    description: Seconds to listen for. With V(0), the module checks the peers instead.
    type: int
    default: 0
  end:
    description: Whether to stop the listening process.
    type: bool
    default: false
  peers:
    description: The other nodes. A node that is listed several times, for several services, is checked once with all of its ports.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Name of the node.
        type: str
        required: true
      address:
        description: Address of the node.
        type: str
        required: true
      ports:
        description: Ports of the node.
        type: list
        elements: int
        required: true
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Check the connection to the other node
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
    Results by node, with the C(interface), C(source) address and C(mtu) of the route, the C(closed) ports with the reason for each, and the clock
    C(skew) in seconds (null if unknown).
  returned: success
  type: dict
rdma:
  description: RDMA devices of this host, with C(name), and the C(state) and C(link_layer) of the first port.
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
            module.fail_json(msg=f"Cannot listen on {wanted['address']}: {error}. Check that it is an address of this host.")
        module.exit_json(changed=False, taken=taken)
    found = _multi_node_network.each_once(wanted["peers"])
    peers = {peer["host"]: _multi_node_network.look_at(peer["address"], peer["ports"]) for peer in found}
    module.exit_json(changed=False, peers=peers, rdma=_multi_node_network.rdma_devices())


if __name__ == "__main__":
    main()
