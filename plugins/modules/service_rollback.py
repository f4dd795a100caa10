#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_rollback
short_description: Take services that did not pass their gate back to what served before
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Puts back the unit and the environment file that M(inferops.gpu.api_check) kept when the service last passed its gate, and starts it.
    What runs now is stopped first, with all of its processes, so that GPU memory and the port are free.
  - A service that has never passed its gate, or whose former release or weights are gone, is stopped and disabled. It would fail again
    and again. M(inferops.gpu.service_state) starts and enables it when it runs the next time.
  - A service whose files are those that served before is left to systemd, which goes on trying.
  - It does not wait for the services to be ready. Follow them with M(inferops.gpu.follow_unit).
options:
  services:
    description: The services that did not pass.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service.
        type: str
        required: true
      unit:
        description: Name of its systemd unit.
        type: str
        required: true
      environment_file:
        description: File with its secret environment.
        type: path
        required: true
      served:
        description: Where the last state that passed the gate is kept.
        type: path
        required: true
      own_folders:
        description:
          - The command by which units see that their folders are their account's. One from before each service had an account of its own has no
            such command, and is given the folders that this one names.
        type: list
        elements: str
        default: []
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
attributes:
  diff_mode:
    description: Shows what would be done to each service, and never a file, since these hold secrets.
seealso:
  - module: inferops.gpu.api_check
"""

EXAMPLES = r"""
- name: Go back to what served before
  inferops.gpu.service_rollback:
    services:
      - name: qwen3
        unit: vllm-qwen3.service
        environment_file: /etc/inferops/qwen3.env
        served: /var/lib/inferops/served/qwen3.json
"""

RETURN = r"""
outcomes:
  description: >-
    By service, the C(action), one of V(restored), V(unchanged) and V(stopped), the C(release) that was gone back to, when it was C(kept),
    and C(why) there was nothing to go back to.
  returned: success
  type: dict
restored:
  description: Names of the services that run what served before.
  returned: success
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _former_unit, _served, _service, _systemd


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "services": {
                "type": "list", "elements": "dict", "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "unit": {"type": "str", "required": True},
                    "environment_file": {"type": "path", "required": True},
                    "served": {"type": "path", "required": True},
                    "own_folders": {"type": "list", "elements": "str", "default": []},
                },
            },
        },
        supports_check_mode=True,
    )
    outcomes: dict[str, dict[str, t.Any]] = {}
    # All of them before any of them: units of one service share folders, which may change hands.
    for row in module.params["services"] if not module.check_mode else []:
        try:
            stop_what_goes_back(row)
        except RuntimeError:
            continue  # Told of below, where it is stopped again.
    for row in module.params["services"]:
        try:
            outcomes[row["name"]] = go_back(row, module.check_mode)
        except (RuntimeError, OSError) as error:
            # The others are to go back all the same.
            outcomes[row["name"]] = {"action": "unchanged", "why": f"going back failed: {error}"}
    actions = {name: outcome["action"] for name, outcome in outcomes.items() if outcome["action"] != "unchanged"}
    module.exit_json(
        changed=bool(actions), outcomes=outcomes, restored=[name for name, action in actions.items() if action == "restored"],
        diff={"before": dict.fromkeys(actions, "failed"), "after": actions},
    )


def stop_what_goes_back(row: dict[str, t.Any]) -> None:
    """Stop a service that is to be taken back, by the rules of the unit that it was started by. Raises RuntimeError."""
    service = _service.Service(row["unit"], row["environment_file"], None, "present", row["served"])
    kept = _served.load(row["served"])
    if kept is not None and kept.differs() and not nothing_to_go_back_to(service, kept):
        service.stop()


def go_back(row: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Take one service back, or stop it where nothing is there to go back to, and return what was done. Raises RuntimeError and OSError."""
    service = _service.Service(row["unit"], row["environment_file"], None, "present", row["served"])
    kept = _served.load(row["served"])
    why = nothing_to_go_back_to(service, kept)
    if kept is None or why:
        if not check_mode:
            service.stop()
            _systemd.systemctl("disable", "--quiet", service.unit)
        return {"action": "stopped", "why": why}
    told = {"release": kept.release, "kept": kept.kept}
    if not kept.differs():
        return {"action": "unchanged", "why": "its unit and environment are those that served before", **told}
    if not check_mode:
        # Stopped by the rules of the unit that it was started by, and before the files change: what dies in between leaves a stopped
        # service with the new files, which the next run starts, sees fail and takes back.
        service.stop()
        # The folders first: until the former unit stands there, the later one takes them over again whenever it starts.
        if not _former_unit.owns_folders(kept.unit_text):
            _former_unit.give_back(kept.unit_text, row["own_folders"])
        kept.restore()
        _systemd.systemctl("daemon-reload")
        service.do("start")
    return {"action": "restored", **told}


def nothing_to_go_back_to(service: _service.Service, kept: _served.Served | None) -> str:
    """Return why a service cannot go back; empty when it can."""
    if kept is None:
        return "it has never passed its gate on this host"
    if (kept.unit_file, kept.environment_file) != (service.path, service.environment_file):
        return f"what served before had its files elsewhere: {kept.unit_file}, {kept.environment_file}"
    gone = _former_unit.missing_account(kept.unit_text)
    if gone:
        return f"its account {gone} is not on the host any more"
    missing = kept.missing()
    return f"what served before ran on {kept.release} and needs {', '.join(missing)}, which is not there any more" if missing else ""


if __name__ == "__main__":
    main()
