#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_status
short_description: Read the state of a host's model services
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Reads the units of all model services of this collection on a host, what their engines report, and what the services use. Changes nothing.
  - Requests only C(/metrics) of an engine that runs, at its address on this host, twice within a few seconds. This needs no API key.
  - What cannot be read in time is left out, and named in C(unread).
  - Returns no text of a unit or an environment file, no command line and no secret.
options:
  releases_dir:
    description: Directory of the releases.
    type: path
    default: /opt/inferops/releases
  weights_dir:
    description: Directory of the weights.
    type: path
    default: /var/lib/inferops/models
  cache_dir:
    description: Directory of the caches.
    type: path
    default: /var/cache/inferops
  state_dir:
    description: Directory of records.
    type: path
    default: /var/lib/inferops
extends_documentation_fragment:
  - inferops.gpu.attributes.read
seealso:
  - module: inferops.gpu.host_facts
  - module: inferops.gpu.unit_status
"""

EXAMPLES = r"""
- name: Read the state of the services
  inferops.gpu.service_status:
  register: found

- name: Fail if a unit has failed
  ansible.builtin.assert:
    that: found.status.units | selectattr('active', 'eq', 'failed') | length == 0
"""

RETURN = r"""
status:
  description: The state. Times are in UTC, ISO 8601. A value that is not known is V(null), a text empty.
  returned: always
  type: dict
  contains:
    read_at:
      description: When the state was read.
      type: str
    units:
      description: Managed units of services.
      type: list
      elements: dict
      contains:
        unit:
          description: Name of the unit.
          type: str
        service:
          description: Name of the service.
          type: str
        role:
          description: Role of the unit's supervisor, V(single), or V(leader) or V(worker) in a multi-node service.
          type: str
        node:
          description: Name of the unit among those of its service.
          type: str
        leader:
          description: Node of the leader of a multi-node service.
          type: str
        workers:
          description: Workers of a leader.
          type: list
        active:
          description: C(ActiveState).
          type: str
        sub:
          description: C(SubState).
          type: str
        result:
          description: C(Result) of the last run, for example V(success) or V(exit-code).
          type: str
        enabled:
          description: C(UnitFileState).
          type: str
        since:
          description: When the unit entered its state.
          type: str
        status:
          description: Status line of the supervisor.
          type: str
        main_pid:
          description: Process ID of the supervisor; 0 if it does not run.
          type: int
        restarts:
          description: Automatic restarts by systemd since the unit was last started explicitly.
          type: int
        failed_starts:
          description: Starts that have failed in a row, as the supervisor counts them.
          type: int
        missing_nodes:
          description: Nodes that a supervisor waits for.
          type: list
        answered:
          description: When the engine last answered a probe of the supervisor, or showed by its counters that it works.
          type: str
        memory_bytes:
          description: Memory of the unit's processes.
          type: int
        last_failure:
          description: The newest kept log of a failure, with C(at), C(reason) and C(path). V(null) without one.
          type: dict
        last_failure_error:
          description: Why the directory of these logs cannot be read.
          type: str
        listens:
          description: Address that the API listens on.
          type: str
        port:
          description: Port of the API; 0 for a unit without an API.
          type: int
        scheme:
          description: V(http) or V(https); empty for a unit without an API.
          type: str
        command_digest:
          description: sha256 of the unit's command.
          type: str
        model:
          description: Name of the model in the API.
          type: str
        adapters:
          description: Names of its LoRA adapters in the API.
          type: list
          elements: str
        adapters_not_loaded:
          description: Names of those that its engine does not have, although it follows a file that names them; null when the engine does not tell.
          type: list
          elements: str
        task:
          description: Task of the service.
          type: str
        release:
          description: Name of the release that the unit runs.
          type: str
        weights:
          description: Path of the weights.
          type: str
        revision:
          description: Revision of downloaded weights.
          type: str
        gpus:
          description: Indexes of the GPUs that the unit uses; V(null) if unknown.
          type: list
        engine:
          description: >-
            What the engine of an active unit reports, with C(requests_running), C(requests_waiting), C(kv_cache_used) (a fraction),
            C(prompt_tokens_per_second), C(generation_tokens_per_second), and C(error), why it does not answer. V(null) for other units.
          type: dict
        certificate:
          description: >-
            Certificate of the API, with its C(path), C(expires), C(error), C(served_expires) (of the copy that the running service has read) and
            C(renewed) (whether the file has changed since). V(null) without TLS.
          type: dict
        changed:
          description: What was changed outside of this collection, each with C(what), C(path) and C(text).
          type: list
    gpus:
      description: >-
        GPUs with C(index), C(uuid), C(name), C(memory_used_bytes), C(memory_bytes), C(temperature) (degrees Celsius) and C(utilization) (per cent).
      type: list
    disks:
      description: File systems that the services use, with C(mount), C(holds), C(size_bytes) and C(free_bytes).
      type: list
    downloads:
      description: >-
        Downloads and verifications of weights that run or have failed, with C(name), C(unit), C(state), C(since), C(bytes), C(total_bytes), C(rate) (bytes
        per second), C(eta_seconds), C(fraction), C(text), C(error) and C(fix).
      type: list
    builds:
      description: Builds of releases that run or have failed, with C(name), C(unit), C(state), C(since), C(text), C(error) and C(fix).
      type: list
    connections:
      description: Tracked connections, as C(conntrack) of M(inferops.gpu.host_facts).
      type: dict
    unmanaged:
      description: >-
        Processes of engines, and others on GPUs, that belong to no managed unit, with C(pid), C(program), C(user), C(unit) and C(gpus).
      type: list
    unread:
      description: What could not be read, with the reason.
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._status import read


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "releases_dir": {"type": "path", "default": "/opt/inferops/releases"},
            "weights_dir": {"type": "path", "default": "/var/lib/inferops/models"},
            "cache_dir": {"type": "path", "default": "/var/cache/inferops"},
            "state_dir": {"type": "path", "default": "/var/lib/inferops"},
        },
        supports_check_mode=True,
    )
    given = module.params
    module.exit_json(changed=False, status=read.read(given["weights_dir"], given["releases_dir"], given["cache_dir"], given["state_dir"]))


if __name__ == "__main__":
    main()
