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
  - If the service now has another backend or another role in it, V(restore) also restores the units that it had before, from their last known good states,
    and removes units that the last known good state does not have. M(inferops.gpu.service_state) keeps these states until V(record).
  - If the files of a service are those of the last known good state, V(restore) leaves the service unchanged, and systemd keeps restarting it.
  - V(revert) goes one state further back. It restores the last known good state if the files differ from it, else the state before that one. A service
    without such a state, or whose release or weights no longer exist, stays unchanged. So does a service that had another backend in that state.
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
      former:
        description: For V(record), former units of the service. No rollback returns to them, so their states and directories are removed.
        type: list
        elements: dict
        default: []
        suboptions:
          served:
            description: File with the last known good state.
            type: path
            required: true
          folders:
            description: Further directories.
            type: list
            elements: path
            default: []
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
    By unit, and for the main unit by service, the C(action), one of V(restored), V(unchanged), V(stopped) and V(failed), the restored C(release), the time
    when that state was recorded (C(kept)), and, if nothing was restored, the reason (C(why)). If the service had another backend or role in that state,
    C(units) are the units that it has again, the main unit first.
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

from ..module_utils import _former_unit, _former_units, _last_known_good, _safe_paths, _service, _systemd, _writing
from ..module_utils._former_units import Unit
from ..module_utils._host import service_of
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
                "former": {
                    "type": "list", "elements": "dict", "default": [],
                    "options": {"served": {"type": "path", "required": True}, "folders": {"type": "list", "elements": "path", "default": []}},
                },
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
            if found["outcomes"].get(item["name"], {}).get("action") == "restored" and kept is not None and kept.differs():
                _last_known_good.abandon(item["served"])
        module.exit_json(**found)
    for item in items if not module.check_mode else []:
        try:
            # First: no state of one layout may be restored together with a state of another one.
            forget(item["former"])
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


def forget(former: t.Sequence[Item]) -> None:
    """Remove what is left of former units. Raises OSError."""
    for unit in former:
        for path in (unit["served"], _last_known_good.earlier_file(unit["served"]), *unit["folders"]):
            _safe_paths.remove(path)


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
    outcomes: dict[str, dict[str, t.Any]] = {}
    alike: list[Item] = []
    services_of_items: dict[str, list[Item]] = {}
    for item in items:
        services_of_items.setdefault(service_of(item["unit"]), []).append(item)
    for own in services_of_items.values():
        present = [Unit(item["name"], service_of_item(item), last_known_good(item), item["own_folders"]) for item in own]
        former = _former_units.kept_beside(present)
        if former or _former_units.has_changed_layout(present):
            outcomes.update(restore_layout(present, former, find is one_back, check_mode))
        else:
            alike += own
    # Stop all units before restoring any: units of one service share folders, whose owner may change.
    for item in alike if not check_mode else []:
        try:
            stop_what_goes_back(item, find)
        except RuntimeError:
            continue  # C(restore) below stops it again and reports the error.
    for item in alike:
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


def restore_layout(present: t.Sequence[Unit], former: t.Sequence[Unit], revert: bool, check_mode: bool) -> dict[str, dict[str, t.Any]]:
    """Restore the units that a service had with another backend or role, or none of them, and return the outcomes by name.

    :param present: units that it has now; the last one is the main unit, and its outcome that of the service
    :param former: units that it had before, and of which the last known good state was kept
    :param revert: whether a service that cannot go back stays unchanged; otherwise it is stopped
    """
    going = _former_units.main_first([*former, *(unit for unit in present if unit.kept is not None)])
    try:
        why = next(filter(None, (nothing_to_go_back_to(unit.service, unit.kept) for unit in going)), "")
        missing = _former_units.missing_beside(going)
        if missing:
            why = why or f"its last known good state has another backend, and needs {missing}, which no longer exists on the host"
        if why and not revert and not check_mode:
            for unit in present:
                stop_and_disable(unit.service)
        if why:
            return {unit.name: {"action": "unchanged" if revert else "stopped", "why": why} for unit in present}
        if not check_mode:
            # All of them first: they share folders and ports.
            for unit in present:
                unit.service.stop()
            for unit in present:
                if unit.kept is None:
                    # It would start again with the next boot, and with the next start of the service.
                    unit.service.remove(unit.service.files())
        # The main unit last.
        outcomes = {unit.name: put_back(unit, check_mode) for unit in reversed(going)}
        return {**outcomes, present[-1].name: {**outcomes[going[0].name], "units": [unit.service.unit for unit in going]}}
    except (RuntimeError, OSError) as error:
        return {unit.name: {"action": "failed", "why": f"the rollback failed: {error}"} for unit in present}


def service_of_item(item: Item) -> _service.Service:
    """Return the unit of an item."""
    return _service.Service(item["unit"], item["environment_file"], None, "present", item["served"])


def stop_what_goes_back(item: Item, find: Find) -> None:
    """Stop a service that is going to be rolled back, with the settings of the unit that started it. Raises RuntimeError."""
    service, kept = service_of_item(item), find(item)
    if kept is not None and kept.differs() and not nothing_to_go_back_to(service, kept, find):
        service.stop()


def stop_and_disable(service: _service.Service) -> None:
    """Stop a unit that would fail again on each restart. Raises RuntimeError."""
    service.stop()
    _systemd.systemctl("disable", "--quiet", service.unit)


def restore(item: Item, find: Find, check_mode: bool) -> dict[str, t.Any]:
    """Restore one service, and return the outcome. Without a last known good state stop it. Raises RuntimeError and OSError."""
    service = service_of_item(item)
    kept = find(item)
    why = nothing_to_go_back_to(service, kept, find)
    if (kept is None or why) and find is one_back:
        return {"action": "unchanged", "why": why if kept is not None else "this host has no state from before the last known good one"}
    if kept is None or why:
        if not check_mode:
            stop_and_disable(service)
        return {"action": "stopped", "why": why}
    if not kept.differs():
        return {"action": "unchanged", "why": "its unit and environment file are the last known good ones", **told(kept)}
    return put_back(Unit(item["name"], service, kept, item["own_folders"]), check_mode)


def put_back(unit: Unit, check_mode: bool) -> dict[str, t.Any]:
    """Restore and start a unit that has a state to go back to, and return the outcome. Raises RuntimeError and OSError."""
    service, kept = unit.service, t.cast(_last_known_good.State, unit.kept)
    if not check_mode:
        # Stop it with the settings of the unit that started it, before the files change. If this run dies in between, the service is stopped
        # and has the new files: the next run starts it, sees it fail and rolls it back.
        service.stop()
        # The folders first: as long as the new unit is in place, it takes them over again at each start.
        if not _former_unit.owns_folders(kept.unit_text):
            _former_unit.give_back(kept.unit_text, unit.own_folders)
        kept.restore()
        _systemd.systemctl("daemon-reload")
        service.do("start")
    return {"action": "restored", **told(kept)}


def told(kept: _last_known_good.State) -> dict[str, str]:
    """Return what an outcome says about a state."""
    return {"release": kept.release, "kept": kept.kept}


def other_backend(service: _service.Service, kept: _last_known_good.State) -> str:
    """Return why a service cannot go back to a state with another backend, whose other units are gone from its hosts; empty when it has the same backend."""
    before, now = (_former_units.layout_of(text)[0] for text in (kept.unit_text, _last_known_good.read(service.path)))
    if before == now:
        return ""
    words = [f"the backend {backend}" if backend else "one host" for backend in (before, now)]
    return f"that state is of {words[0]}, and the service now has {words[1]}; to go back, restore the former inventory and run site.yml"


def nothing_to_go_back_to(service: _service.Service, kept: _last_known_good.State | None, find: Find = last_known_good) -> str:
    """Return why a service cannot be rolled back; empty when it can."""
    if kept is None:
        return "it has never passed the health gate on this host"
    if (kept.unit_file, kept.environment_file) != (service.path, service.environment_file):
        return f"the last known good state has other file names: {kept.unit_file}, {kept.environment_file}"
    gone = _former_unit.missing_account(kept.unit_text)
    if gone:
        return f"its account {gone} no longer exists on the host"
    other = other_backend(service, kept) if find is one_back else ""
    if other:
        return other
    missing = kept.missing()
    return f"the last known good state uses {kept.release} and needs {', '.join(missing)}, which no longer exists" if missing else ""


if __name__ == "__main__":
    main()
