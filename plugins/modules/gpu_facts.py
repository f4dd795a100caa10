#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: gpu_facts
short_description: Read all that nvidia-smi knows of a host's NVIDIA GPUs
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Reads C(nvidia-smi)'s machine-readable output (its XML log and its queries), and the matrix of how the GPUs reach each other.
  - On a host without C(nvidia-smi), or with a driver and no GPU, the list is empty and there is no error.
  - A driver that does not work is no failure of the module but its RV(error), with the fix in RV(fix).
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

- name: Stop where the driver does not work
  ansible.builtin.fail:
    msg: "{{ found.error }}. {{ found.fix }}"
  when: found.error | length > 0

- name: Name GPUs that are cut into instances
  ansible.builtin.debug:
    msg: "{{ found.gpus | selectattr('mig.mode', 'eq', 'Enabled') | map(attribute='index') | list }}"
"""

RETURN = r"""
gpus:
  description: The GPUs in the order of C(nvidia-smi). What it does not know of one is V(null).
  returned: always
  type: list
  elements: dict
  contains:
    index:
      description: Number that C(nvidia-smi) gives it, by bus address.
      type: int
    uuid:
      description: Its own name, which does not change.
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
      description: For example V(9.0).
      type: str
    memory_bytes:
      description: Memory.
      type: int
    memory_used_bytes:
      description: Memory in use.
      type: int
    error:
      description: What it says of a GPU that is lost or has to be reset; empty for one that is well.
      type: str
    split:
      description: Whether MIG makes slices of it.
      type: bool
    slices:
      description: The slices of one that is split, with C(uuid), C(profile) and C(memory_bytes).
      type: list
    driver_version:
      description: Version of the driver.
      type: str
    persistence_mode:
      description: V(Enabled) or V(Disabled).
      type: str
    compute_mode:
      description: Who may compute on it, V(Default) is everyone.
      type: str
    mig:
      description: >-
        Multi-Instance GPU. Its C(mode), V(null) where the GPU has none, and its C(instances) with C(index), C(uuid), C(gpu_instance),
        C(compute_instance) and C(memory_bytes).
      type: dict
    ecc:
      description: Memory protection. Its C(mode), and the errors since the driver was loaded that could not be corrected, C(uncorrected).
      type: dict
    nvlinks:
      description: How many NVLinks lead to other GPUs, by their index; none where the way is another.
      type: dict
    processes:
      description: Processes on it, each with C(pid), C(type) (C for compute), C(name) and C(memory_bytes).
      type: list
    connections:
      description: How it reaches each other GPU, by index, as C(nvidia-smi topo -m) says it (V(NV18), V(PIX), V(SYS), ...).
      type: dict
driver_version:
  description: Version of the driver; V(null) without a GPU.
  returned: always
  type: str
cuda_version:
  description: The newest CUDA that the driver runs; V(null) without a GPU.
  returned: always
  type: str
error:
  description: What is wrong with the driver; empty when nothing is.
  returned: always
  type: str
fix:
  description: The fix of the error; empty when there is none.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _nvidia


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(changed=False, **_nvidia.read_all())


if __name__ == "__main__":
    main()
