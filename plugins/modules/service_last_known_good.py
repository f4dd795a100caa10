#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_last_known_good
short_description: Record or restore the last known good state of model services
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - V(record) marks the current start of the units as checked, and saves their unit and environment files as the last known good state.
  - V(restore) restores the unit file and the environment file of that state, and starts the service. It stops the running service first, with all of
    its processes, to free GPU memory and the port.
  - V(restore) stops and disables a service without a last known good state, or whose previous release or weights no longer exist, since it would fail
    again on each restart. The next run of M(inferops.gpu.service_state) enables and starts it again.
  - If the files of a service are those of the last known good state, V(restore) leaves the service unchanged, and systemd keeps restarting it.
  - V(revert) goes one state further back. It restores the last known good state if the files differ from it, else the state before that one. A service
    without such a state, or whose release or weights no longer exist, stays unchanged.
  - Does not wait until the services are ready. Use M(inferops.gpu.follow_unit) for that.
options:
  action:
    description: What to do.
    type: str
    choices: [record, restore, revert]
    required: true
  abandon:
    description: For V(revert), whether to forget the state that the service leaves, so that no later V(revert) returns to it.
    type: bool
    default: false
  services:
    description: The units of the services.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service.
        type: str
        required: true
      unit:
        description: Name of the systemd unit.
        type: str
        required: true
      environment_file:
        description: Environment file with the service's secrets.
        type: path
        required: true
      served:
        description: File with the last known good state. Only root can read it.
        type: path
        required: true
      release:
        description: >-
          For V(record), the name of the unit's release. Releases of recorded states are not pruned. If empty, release and weights are those of the earlier
          state with the same files.
        type: str
        default: ""
      release_path:
        description: For V(record), the directory of the release.
        type: str
        default: ""
      weights_path:
        description: For V(record), the directory of the weights.
        type: str
        default: ""
      arguments:
        description: >-
          For V(record), where to record that the engine has accepted the service's arguments, so that M(inferops.gpu.vllm_arguments) does not check them
          again.
        type: dict
        suboptions:
          stamp:
            description: File to write O(services[].arguments.digest) to.
            type: path
            required: true
          digest:
            description: Digest of the service.
            type: str
            required: true
      own_folders:
        description:
          - For V(restore), the command that gives the service's account its directories before each start. A unit that an early version of the collection
            wrote has no such command; the module then gives the directories in this option to the account of that unit.
        type: list
        elements: str
        default: []
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
attributes:
  diff_mode:
    description: Shows the action for each service, but no files, since they contain secrets.
seealso:
  - module: inferops.gpu.api_check
"""

EXAMPLES = r"""
- name: Record the services that passed the health gate
  inferops.gpu.service_last_known_good:
    action: record
    services: "{{ plan_host.services | inferops.gpu.passed_units(errors) }}"

- name: Restore the services that failed the health gate
  inferops.gpu.service_last_known_good:
    action: restore
    services:
      - name: qwen3
        unit: vllm-qwen3.service
        environment_file: /etc/inferops/qwen3.env
        served: /var/lib/inferops/served/qwen3.json
"""

RETURN = r"""
outcomes:
  description: >-
    By service, the C(action), one of V(restored), V(unchanged), V(stopped) and V(failed), the restored C(release), the time when that state was recorded
    (C(kept)), and, if nothing was restored, the reason (C(why)).
  returned: with O(action=restore) and O(action=revert)
  type: dict
restored:
  description: Names of the services of which a state was restored.
  returned: with O(action=restore) and O(action=revert)
  type: list
  elements: str
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _former_unit, _last_known_good, _service, _systemd, _writing
from ..module_utils._service_options import UNIT, services

Item = t.Mapping[str, t.Any]
Find = t.Callable[[Item], t.Optional[_last_known_good.State]]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "action": {"type": "str", "choices": ["record", "restore", "revert"], "required": True},
            "abandon": {"type": "bool", "default": False},
            "services": services(UNIT, {
                "name": {"type": "str", "required": True},
                "served": {"type": "path", "required": True},
                "release": {"type": "str", "default": ""},
                "release_path": {"type": "str", "default": ""},
                "weights_path": {"type": "str", "default": ""},
                "arguments": {"type": "dict", "options": {"stamp": {"type": "path", "required": True}, "digest": {"type": "str", "required": True}}},
                "own_folders": {"type": "list", "elements": "str", "default": []},
            }),
        },
        supports_check_mode=True,
    )
    items = module.params["services"]
    if module.params["action"] != "record":
        find = last_known_good if module.params["action"] == "restore" else one_back
        found = restore_all(items, find, module.check_mode)
        for item in items if module.params["abandon"] and not module.check_mode else []:
            # Unless it went back to the last known good state, which stays what it is.
            kept = _last_known_good.load(item["served"])
            if found["outcomes"][item["name"]]["action"] == "restored" and kept is not None and kept.differs():
                _last_known_good.abandon(item["served"])
        module.exit_json(**found)
    for item in items if not module.check_mode else []:
        try:
            record(item)
        except (RuntimeError, OSError) as error:
            module.fail_json(msg=f"Cannot write the last known good state of {item['unit']}: {error}")
    module.exit_json(changed=False)


def record(item: Item) -> None:
    """Record the state that has passed the health gate, and which start of the unit it was, so that a later run can skip the gate.

    Raises RuntimeError and OSError. The order matters: if a run dies between the two steps, the next one runs the gate again.
    """
    service = _service.Service(item["unit"], item["environment_file"], None, "present")
    # The running process may be older than the files: then nothing is known about the files.
    if service.runs_current_files() and not dataclasses.replace(service, served=item["served"]).is_kept():
        places = (item["release"], item["release_path"], item["weights_path"])
        state = _last_known_good.of_disk(item["name"], service.path, service.environment_file, *places)
        # After a return to an earlier state only its record has the release.
        known = None if item["release"] else next((one for one in _last_known_good.earlier(item["served"]) if one.has_files_of(state)), None)
        _last_known_good.write(item["served"], _with_release(state, known))
    if service.runs_current_files() and item["arguments"]:
        _writing.replace(item["arguments"]["stamp"], item["arguments"]["digest"], durable=True)
    with open(service.checked_record, "w", encoding="utf-8") as file:
        file.write(service.properties()["InvocationID"])


def _with_release(state: _last_known_good.State, known: _last_known_good.State | None) -> _last_known_good.State:
    """Return a state with the release and the weights of an earlier one with the same files."""
    if known is None:
        return state
    return dataclasses.replace(state, release=known.release, release_path=known.release_path, weights_path=known.weights_path)


def last_known_good(item: Item) -> _last_known_good.State | None:
    """Return the last known good state of a service."""
    return _last_known_good.load(item["served"])


def one_back(item: Item) -> _last_known_good.State | None:
    """Return the last known good state of a service whose files differ from it, else the state before."""
    kept = _last_known_good.load(item["served"])
    if kept is not None and kept.differs():
        return kept
    return next(iter(_last_known_good.earlier(item["served"])), None)


def restore_all(items: t.Sequence[Item], find: Find, check_mode: bool) -> dict[str, t.Any]:
    """Restore what can be restored, and return the module's result.

    :param find: returns the state of a service to restore
    """
    # Stop all units before restoring any: units of one service share folders, whose owner may change.
    for item in items if not check_mode else []:
        try:
            stop_what_goes_back(item, find(item))
        except RuntimeError:
            continue  # C(restore) below stops it again and reports the error.
    outcomes: dict[str, dict[str, t.Any]] = {}
    for item in items:
        try:
            outcomes[item["name"]] = restore(item, find, check_mode)
        except (RuntimeError, OSError) as error:
            # Continue with the other services.
            outcomes[item["name"]] = {"action": "failed", "why": f"the rollback failed: {error}"}
    actions = {name: outcome["action"] for name, outcome in outcomes.items() if outcome["action"] in ("restored", "stopped")}
    return {
        "changed": bool(actions), "outcomes": outcomes, "restored": [name for name, action in actions.items() if action == "restored"],
        "diff": {"before": dict.fromkeys(actions, "failed"), "after": actions},
    }


def stop_what_goes_back(item: Item, kept: _last_known_good.State | None) -> None:
    """Stop a service that is going to be rolled back, with the settings of the unit that started it. Raises RuntimeError."""
    service = _service.Service(item["unit"], item["environment_file"], None, "present", item["served"])
    if kept is not None and kept.differs() and not nothing_to_go_back_to(service, kept):
        service.stop()


def restore(item: Item, find: Find, check_mode: bool) -> dict[str, t.Any]:
    """Restore one service, and return the outcome. Without a last known good state stop it. Raises RuntimeError and OSError."""
    service = _service.Service(item["unit"], item["environment_file"], None, "present", item["served"])
    kept = find(item)
    why = nothing_to_go_back_to(service, kept)
    if (kept is None or why) and find is one_back:
        return {"action": "unchanged", "why": why if kept is not None else "this host has no state from before the last known good one"}
    if kept is None or why:
        if not check_mode:
            service.stop()
            _systemd.systemctl("disable", "--quiet", service.unit)
        return {"action": "stopped", "why": why}
    told = {"release": kept.release, "kept": kept.kept}
    if not kept.differs():
        return {"action": "unchanged", "why": "its unit and environment file are the last known good ones", **told}
    if not check_mode:
        # Stop it with the settings of the unit that started it, before the files change. If this run dies in between, the service is stopped
        # and has the new files: the next run starts it, sees it fail and rolls it back.
        service.stop()
        # The folders first: as long as the new unit is in place, it takes them over again at each start.
        if not _former_unit.owns_folders(kept.unit_text):
            _former_unit.give_back(kept.unit_text, item["own_folders"])
        kept.restore()
        _systemd.systemctl("daemon-reload")
        service.do("start")
    return {"action": "restored", **told}


def nothing_to_go_back_to(service: _service.Service, kept: _last_known_good.State | None) -> str:
    """Return why a service cannot be rolled back; empty when it can."""
    if kept is None:
        return "it has never passed the health gate on this host"
    if (kept.unit_file, kept.environment_file) != (service.path, service.environment_file):
        return f"the last known good state has other file names: {kept.unit_file}, {kept.environment_file}"
    gone = _former_unit.missing_account(kept.unit_text)
    if gone:
        return f"its account {gone} no longer exists on the host"
    missing = kept.missing()
    return f"the last known good state uses {kept.release} and needs {', '.join(missing)}, which no longer exists" if missing else ""


if __name__ == "__main__":
    main()
