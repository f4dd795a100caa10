#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_heal
short_description: Restart model services that hang, and none that is merely busy
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Asks each service on its own host once more, and watches the engine's counters while the request waits. A service that answers with an error of
    the server, or neither answers nor makes a step, is restarted.
  - A service that answers is left alone, whatever it says short of an error of the server, and so is one whose engine is at work, however long its
    queue is.
  - An engine that counts nothing (vLLM with C(disable_log_stats), Transformers) is restarted only when the processes of its unit use next to no
    processor time while the request waits. Otherwise it cannot be told whether it hangs, and it is left alone.
  - It does not wait for the services to be ready. Follow them with M(inferops.gpu.follow_unit).
options:
  services:
    description: The services that did not answer as they should.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name for messages.
        type: str
        required: true
      unit:
        description: Its systemd unit.
        type: str
        required: true
      environment_file:
        description: File with its secret environment.
        type: path
        required: true
      url:
        description: Base address on the host, without C(/v1).
        type: str
        required: true
      model:
        description: Name of the model in the API.
        type: str
        required: true
      task:
        description: What the service is there for.
        type: str
        default: auto
      api_key:
        description: Key of the service's API.
        type: str
  stall_timeout:
    description: Seconds that an engine may make no step while a request waits, before it counts as hanging.
    type: int
    default: 120
extends_documentation_fragment:
  - inferops.gpu.attributes.no_diff
  - inferops.gpu.attributes.internal
attributes:
  check_mode:
    description: Reports what would be restarted.
seealso:
  - module: inferops.gpu.api_check
"""

EXAMPLES = r"""
- name: Restart what hangs
  inferops.gpu.service_heal:
    services:
      - name: qwen3
        unit: vllm-qwen3.service
        environment_file: /etc/inferops/qwen3.env
        url: http://127.0.0.1:8001
        model: qwen3
"""

RETURN = r"""
states:
  description: By service, V(answers), V(busy), V(hangs), V(broken) or V(unknown), and why.
  returned: success
  type: dict
restarted:
  description: Names of the services that were restarted, those that hang or are broken.
  returned: success
  type: list
  elements: str
"""

import concurrent.futures
import functools
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _liveness, _service, _systemd
from ..module_utils._service_options import API, UNIT, services


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "services": services(UNIT, API),
            "stall_timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    asked = module.params["services"]
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        found = list(pool.map(lambda service: look(service, module.params["stall_timeout"]), asked))
    states = {service["name"]: {"state": state, "why": why} for service, (state, why) in zip(asked, found)}
    sick = [service for service in asked if states[service["name"]]["state"] in (_liveness.HANGS, _liveness.BROKEN)]
    try:
        for service in sick:
            if not module.check_mode:
                _service.Service(service["unit"], service["environment_file"], None, "present").do("restart")
    except (RuntimeError, OSError) as error:
        module.fail_json(msg=str(error), states=states)
    module.exit_json(changed=bool(sick), states=states, restarted=[service["name"] for service in sick])


def look(service: dict[str, t.Any], seconds: int) -> tuple[str, str]:
    """Return how one service is, and why."""
    cpu_seconds = functools.partial(_systemd.cpu_seconds, service["unit"])
    return _liveness.state_of(service["url"], service["api_key"] or "", service["model"], service["task"], seconds, cpu_seconds)


if __name__ == "__main__":
    main()
