#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_facts
short_description: Read in one call what the plan needs to know of a GPU host
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Reads the system, disks, GPUs, listening sockets and what this collection has put on the host before.
  - One module call takes the place of fact gathering, package facts and a handful of M(ansible.builtin.stat) calls.
  - It changes nothing and works on a bare host.
options:
  install_dir:
    description: Where tools and releases are installed.
    type: path
    default: /opt/inferops
  releases_dir:
    description: Where vLLM releases stand.
    type: path
    default: /opt/inferops/releases
  weights_dir:
    description: Where model weights stand.
    type: path
    default: /var/lib/inferops/models
  state_dir:
    description: Where the collection keeps what it knows of a host.
    type: path
    default: /var/lib/inferops
  account:
    description: Name of the account of the services.
    type: str
    default: inferops
attributes:
  check_mode:
    description: Changes nothing, so it runs the same in check mode.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Read what the host has
  inferops.gpu.host_facts:
  register: found

- name: Say how many GPUs there are
  ansible.builtin.debug:
    msg: "{{ found.host.gpus | length }} GPUs"
"""

RETURN = r"""
host:
  description: What was found.
  returned: always
  type: dict
  contains:
    os:
      description: C(id), C(version_id) and C(like) of C(/etc/os-release).
      type: dict
    architecture:
      description: Machine name, for example V(x86_64).
      type: str
    hostname:
      description: Name that the host gives itself.
      type: str
    python:
      description: Version of the interpreter that ran the module.
      type: str
    cpus:
      description: Processors that may be used.
      type: int
    memory_bytes:
      description: Total memory, in bytes.
      type: int
    systemd:
      description: Whether systemd booted the host.
      type: bool
    packages:
      description: Names of installed Debian packages.
      type: list
    default_ipv4:
      description: Address of the interface that the default route leaves by, or an empty string.
      type: str
    interfaces:
      description: IPv4 addresses by interface.
      type: dict
    mounts:
      description: Mounted file systems with C(mount), C(device), C(size_bytes) and C(free_bytes) (free to a user who is not root).
      type: list
    gpus:
      description: GPUs as C(nvidia-smi) lists them; memory in bytes.
      type: list
    gpu_fault:
      description: What C(nvidia-smi) said when it was there and failed; empty when all is well or there is none.
      type: str
    listeners:
      description: Listening TCP sockets with C(port), C(address), C(pid) and the systemd C(unit) of the process.
      type: list
    services:
      description: Units of model services of this collection with their C(unit) and C(active) state.
      type: list
    releases:
      description: Names of complete releases.
      type: list
    weights:
      description: Paths of complete weights.
      type: list
    verified:
      description: Paths of weights that were brought by hand and are, by size and time of every file, as they were when they were verified.
      type: list
    mount_points:
      description: All places where something is mounted, whatever it is.
      type: list
    shared_weights:
      description: Folders with weights that are being served to peers, as their paths.
      type: list
    partial_weights:
      description: Bytes that unfinished downloads hold, by the path that the weights will have.
      type: dict
    account:
      description: C(user), C(group) and C(home) of the services' account; empty where it does not exist.
      type: dict
    certificates:
      description: sha256 of each file in C(/usr/local/share/ca-certificates), by name.
      type: dict
    checked:
      description: Digest of the arguments that passed the release's own parser, by service.
      type: dict
    tools:
      description: Executables in C(<install_dir>/bin) by name, with the path that each leads to.
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _host, _local_weights, _nvidia


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "install_dir": {"type": "path", "default": "/opt/inferops"},
            "releases_dir": {"type": "path", "default": "/opt/inferops/releases"},
            "weights_dir": {"type": "path", "default": "/var/lib/inferops/models"},
            "state_dir": {"type": "path", "default": "/var/lib/inferops"},
            "account": {"type": "str", "default": "inferops"},
        },
        supports_check_mode=True,
    )
    gpus, gpu_fault = _nvidia.read_gpus()
    host = _host.read_system()
    host.update(
        mounts=_host.read_mounts(),
        listeners=_host.read_listeners(),
        services=_host.read_services(),
        releases=_host.complete_releases(module.params["releases_dir"]),
        weights=_host.complete_weights(module.params["weights_dir"]),
        verified=_local_weights.verified_paths(module.params["state_dir"]),
        mount_points=_host.mount_points(),
        shared_weights=_host.shared_weights(module.params["weights_dir"]),
        partial_weights=_host.partial_weights(module.params["weights_dir"]),
        tools=_host.installed_tools(module.params["install_dir"]),
        account=_host.read_account(module.params["account"]),
        certificates=_host.added_certificates(),
        checked=_host.checked_services(module.params["state_dir"]),
        gpus=gpus,
        gpu_fault=gpu_fault,
    )
    module.exit_json(changed=False, host=host)


if __name__ == "__main__":
    main()
