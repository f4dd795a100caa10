#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_heal
short_description: Restart model services that hang, but not services that are busy
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Sends each service one more request on its own host, and watches the engine's counters while the request waits. The module restarts a service that
    returns a server error, or that neither answers nor makes an engine step.
  - Does not restart a service that returns any other answer, or whose engine makes steps, however long its queue is.
  - Restarts an engine without counters (vLLM with C(disable_log_stats), Transformers) only if the processes of its unit use almost no CPU time while the
    request waits. Otherwise the module cannot tell whether the engine hangs, and does not restart it.
  - Does not wait until the services are ready. Use M(inferops.gpu.follow_unit) for that.
options:
  services:
    description: The services that failed their check.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service, for messages.
        type: str
        required: true
      unit:
        description: systemd unit of the service.
        type: str
        required: true
      environment_file:
        description: Environment file with the service's secrets.
        type: path
        required: true
      url:
        description: Base URL on the host, without C(/v1).
        type: str
        required: true
      model:
        description: Name of the model in the API.
        type: str
        required: true
      task:
        description: Task of the service, as in M(inferops.gpu.api_check).
        type: str
        default: auto
      api_key:
        description: API key of the service.
        type: str
  stall_timeout:
    description: Seconds without an engine step while a request waits, until the engine counts as hanging.
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
- name: Restart the service if it hangs
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
  description: >-
    By service, C(state), one of V(answers), V(busy), V(hangs), V(broken) and V(unknown), and the reason (C(why)).
  returned: success
  type: dict
restarted:
  description: Names of the services that were restarted because they hang or are broken.
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
    """Return the state of one service, and why."""
    cpu_seconds = functools.partial(_systemd.cpu_seconds, service["unit"])
    return _liveness.state_of(service["url"], service["api_key"] or "", service["model"], service["task"], seconds, cpu_seconds)


if __name__ == "__main__":
    main()
