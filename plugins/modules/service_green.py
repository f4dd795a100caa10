#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_green
short_description: Start, switch to or remove the temporary unit of a blue/green update
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - V(started) starts the unit, whose unit file an earlier task has written, and does not wait until it is ready. A unit that runs with its current files, as
    a run that died may have left it, continues to run.
  - V(switched) redirects new connections of other hosts from the service's port to the port of the unit. Existing connections continue.
  - V(absent) stops units and removes their files. A unit ends its redirect and drains its engine when it stops. It continues to run while its
    service does not serve and it does.
options:
  state:
    description: What to do.
    type: str
    choices: [started, switched, absent]
    required: true
  units:
    description: Temporary units. Only V(absent) takes several.
    type: list
    elements: str
    required: true
  environment:
    description: For V(started), the contents of its environment file, base64-encoded. It contains secrets.
    type: str
  account:
    description: For V(started), the account that it runs as.
    type: str
  port:
    description: For V(started) and V(switched), the port of the service.
    type: int
  address:
    description: For V(started) and V(switched), the address that the service listens on.
    type: str
  target:
    description: For V(started) and V(switched), the port of the unit.
    type: int
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Remove the temporary unit
  inferops.gpu.service_green:
    state: absent
    units: [inferops-green-qwen3.service]
"""

RETURN = r"""
units:
  description: Units that were started, switched to or removed, or in check mode would be.
  returned: success
  type: list
  elements: str
kept:
  description: For V(absent), units that continue to run, because their services do not serve.
  returned: success
  type: list
  elements: str
"""

import base64
import os
import pwd
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _green, _safe_paths, _service, _systemd, _writing
from ..module_utils.drain import redirect

Given = t.Mapping[str, t.Any]


class Refused(Exception):
    """The service keeps its old engine; the text says why."""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "switched", "absent"], "required": True},
            "units": {"type": "list", "elements": "str", "required": True},
            "environment": {"type": "str", "no_log": True},
            "account": {"type": "str"},
            "port": {"type": "int"},
            "address": {"type": "str"},
            "target": {"type": "int"},
        },
        required_if=[("state", "started", ["environment", "account", "port", "address", "target"]), ("state", "switched", ["port", "address", "target"])],
        supports_check_mode=True,
    )
    given = module.params
    kept: list[str] = []
    try:
        if given["state"] == "absent":
            kept = [unit for unit in given["units"] if serves_alone(unit)]
            changed = [unit for unit in given["units"] if unit not in kept and _green.is_there(unit)]
        else:
            changed = [unit for unit in given["units"] if given["state"] == "switched" or not runs(unit, text_of(given))]
        for unit in changed if not module.check_mode else []:
            {"started": start, "switched": switch, "absent": remove}[given["state"]](unit, given)
    except (RuntimeError, OSError, Refused) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), units=changed, kept=kept, diff={"before": {}, "after": dict.fromkeys(changed, given["state"])})


def service_of(unit: str) -> str:
    """Return the service's own unit."""
    return f"vllm-{_green.service_of(unit)}.service"


def own(unit: str) -> _service.Service:
    """Return the temporary unit with its files."""
    return _service.Service(unit, _green.environment_file(_green.service_of(unit)), None, "present", directory=_green.DIRECTORY)


def text_of(given: Given) -> str:
    """Return the contents of the environment file."""
    return base64.b64decode(given["environment"], validate=True).decode()


def runs(unit: str, environment: str) -> bool:
    """Whether the unit runs, or is starting, with its current files."""
    found = own(unit)
    return found.properties()["ActiveState"] in ("active", "activating") and _service.has_environment(found.environment_file, environment) and (
        found.runs_current_files()
    )


def serves_alone(unit: str) -> bool:
    """Whether the unit serves, and its service is there and does not."""
    found = _systemd.show_all([unit, service_of(unit)], "LoadState", "ActiveState")
    service = found[service_of(unit)]
    return found[unit]["ActiveState"] == "active" and service["LoadState"] == "loaded" and service["ActiveState"] != "active"


def start(unit: str, given: Given) -> None:
    """Start the unit with its current files. Raises RuntimeError, OSError, Refused."""
    refuse_other_account(service_of(unit), given["account"])
    errors = redirect.unusable(given["address"])
    if errors:
        raise Refused(no_redirect(given, errors))
    found = own(unit)
    if found.properties()["ActiveState"] in ("active", "activating"):
        # With the files that it runs with: they name the engine to drain.
        _green.stop(unit)
    os.makedirs(os.path.dirname(found.environment_file), mode=0o700, exist_ok=True)
    _writing.replace(found.environment_file, text_of(given), 0o600)
    _service.reload_if_needed([found])
    # An earlier attempt may have failed: this start does not back off for it.
    _safe_paths.remove(os.path.join(found.supervisor_folder, "state.json"))
    if _systemd.show(unit, "ActiveState")["ActiveState"] == "failed":
        _systemd.systemctl("reset-failed", unit)
    # Not enabled: nothing but a run starts it.
    _systemd.systemctl("restart", "--no-block", unit)


def refuse_other_account(unit: str, account: str) -> None:
    """Raise Refused if the service's own unit runs as another account: the new engine would take its directories over, which it still uses."""
    process = _systemd.show(unit, "MainPID")["MainPID"]
    try:
        user = os.stat(f"/proc/{process}").st_uid if process not in ("", "0") else None
    except FileNotFoundError:
        return
    if user is not None and user != pwd.getpwnam(account).pw_uid:
        raise Refused(
            f"{unit} runs as another account than {account}, which would take over directories that it still uses. "
            "Fix: set model_service_update_strategy: recreate for this change",
        )


def switch(unit: str, given: Given) -> None:
    """Redirect new connections to the unit. Raises Refused."""
    errors = redirect.switch(unit, given["port"], given["address"], given["target"])
    if errors:
        raise Refused(no_redirect(given, errors))


def no_redirect(given: Given, errors: t.Sequence[str]) -> str:
    """Return the error of a host that cannot redirect connections."""
    return (
        f"New connections cannot be redirected from port {given['port']} to port {given['target']}: {'; '.join(errors)}. "
        "Fix: let the kernel load its NAT modules (iptables --table nat --list-rules), or set model_service_update_strategy: recreate"
    )


def remove(unit: str, _given: Given) -> None:
    """Stop the unit and remove its caches and files. Raises RuntimeError, OSError."""
    _green.remove(unit)


if __name__ == "__main__":
    main()
