#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: gpu_facts
short_description: Gather facts about NVIDIA GPUs from nvidia-smi
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Reads the machine-readable output of C(nvidia-smi) (its XML log and its queries), and the topology matrix of the GPUs.
  - On a host without C(nvidia-smi), or with a driver and no GPU, the list is empty and there is no error.
  - Judges the health of the GPUs and of their driver. On a host without C(nvidia-smi) there is nothing to judge.
  - A driver that does not work does not fail the module. The module returns the problem in RV(error) and the fix in RV(fix).
options: {}
extends_documentation_fragment:
  - inferops.gpu.attributes.read
seealso:
  - module: inferops.gpu.host_facts
"""

EXAMPLES = r"""
- name: Read the GPUs
  inferops.gpu.gpu_facts:
  register: found

- name: Fail if the driver does not work
  ansible.builtin.fail:
    msg: "{{ found.error }}. {{ found.fix }}"
  when: found.error | length > 0

- name: Show what is wrong with the GPUs
  ansible.builtin.debug:
    msg: "{{ found.health | selectattr('level', 'eq', 'error') }}"

- name: Show the GPUs with MIG enabled
  ansible.builtin.debug:
    msg: "{{ found.gpus | selectattr('mig.mode', 'eq', 'Enabled') | map(attribute='index') | list }}"
"""

RETURN = r"""
gpus:
  description: The GPUs, in the order of C(nvidia-smi). Values that C(nvidia-smi) does not report are V(null).
  returned: always
  type: list
  elements: dict
  contains:
    index:
      description: Index in C(nvidia-smi), which orders GPUs by PCI address.
      type: int
    uuid:
      description: UUID of the GPU, which never changes.
      type: str
    bus_id:
      description: PCI address.
      type: str
    name:
      description: Product name.
      type: str
    architecture:
      description: Name of the architecture, for example V(Hopper).
      type: str
    compute_capability:
      description: Compute capability, for example V(9.0).
      type: str
    memory_bytes:
      description: Total memory, in bytes.
      type: int
    memory_used_bytes:
      description: Memory in use, in bytes.
      type: int
    error:
      description: Error message of C(nvidia-smi) for a GPU that is lost or has to be reset. Empty for a healthy GPU.
      type: str
    split:
      description: Whether MIG divides the GPU into slices.
      type: bool
    slices:
      description: The MIG slices of the GPU, with C(uuid), C(profile) and C(memory_bytes).
      type: list
    driver_version:
      description: Version of the driver.
      type: str
    persistence_mode:
      description: V(Enabled) or V(Disabled).
      type: str
    compute_mode:
      description: Compute mode. V(Default) allows several processes on the GPU.
      type: str
    mig:
      description: >-
        Multi-Instance GPU. C(mode) is V(null) if the GPU does not support it. C(instances) have C(index), C(uuid), C(gpu_instance),
        C(compute_instance) and C(memory_bytes).
      type: dict
    ecc:
      description: ECC memory protection, with C(mode) and C(uncorrected), the number of uncorrected errors since the driver was loaded.
      type: dict
    nvlinks:
      description: Number of NVLinks to each other GPU, by its index. GPUs without a direct NVLink are not included.
      type: dict
    processes:
      description: Processes on the GPU, each with C(pid), C(type) (V(C) for compute), C(name) and C(memory_bytes).
      type: list
    connections:
      description: Connection to each other GPU, by its index, in the terms of C(nvidia-smi topo -m) (V(NV18), V(PIX), V(SYS), ...).
      type: dict
driver_version:
  description: Version of the driver. V(null) without a GPU.
  returned: always
  type: str
cuda_version:
  description: The newest CUDA version that the driver supports. V(null) without a GPU.
  returned: always
  type: str
error:
  description: What is wrong with the driver. Empty if nothing is wrong.
  returned: always
  type: str
fix:
  description: How to fix the error. Empty if there is no error.
  returned: always
  type: str
health:
  description: >-
    Findings about the health of the GPUs and their driver, each with C(name), the C(gpu) (index, null if it is about the whole host), its C(uuid), the
    C(level) (V(error) if the GPU must not be used, otherwise V(warning)), the C(cause), the C(action) and the C(fix).
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _gpu_driver, _host, _nvidia, _reading
from ..module_utils.gpu_health import collect


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    found = _nvidia.read_all()
    health = []
    if found["gpus"] or found["error"]:
        health = collect.read_within(found["error"], _host.read_services(), _gpu_driver.driver_packages(), _gpu_driver.count_nvswitches())
    module.exit_json(changed=False, health=_reading.clean(health), **found)


if __name__ == "__main__":
    main()
