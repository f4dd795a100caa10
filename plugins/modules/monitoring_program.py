#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: monitoring_program
short_description: Run a Debian package's program with this collection's arguments, or give it back
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Starts, restarts or reloads a program of Prometheus, whichever its command line and the age of its files require. An earlier run that failed or was killed
    makes no difference.
  - Or removes the drop-in with its arguments. A program whose package was there before then runs again with its own arguments; that of a package which the
    role has installed is stopped and disabled.
options:
  program:
    description: Name of the program's unit, without C(.service), and of its package.
    type: str
    required: true
  state:
    description: V(running) with the arguments of the drop-in, or V(restored) to those of its package.
    type: str
    choices: [running, restored]
    default: running
  files:
    description: Files that the program reads when it starts or is reloaded, and directories of such files.
    type: list
    elements: path
    default: []
  port:
    description: TCP port that the program itself has to listen on in the end. 0 means none.
    type: int
    default: 0
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Run node exporter
  inferops.gpu.monitoring_program:
    program: prometheus-node-exporter
    port: 9100

- name: Give node exporter back
  inferops.gpu.monitoring_program:
    program: prometheus-node-exporter
    state: restored
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, for example V(restart).
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _package_program


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "program": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["running", "restored"], "default": "running"},
            "files": {"type": "list", "elements": "path", "default": []},
            "port": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    program, port = module.params["program"], module.params["port"]
    unit = f"{program}.service"
    try:
        if module.params["state"] == "restored":
            actions = ["restore"] if _package_program.restore(program, module.check_mode) else []
        else:
            actions = _package_program.run(unit, module.params["files"], module.check_mode)
            if port and not module.check_mode and (why := _package_program.wait_for_port(unit, port)):
                raise RuntimeError(f"{why}. See journalctl -u {unit} on this host; if another program has the port, set the role's port to a free one")
    except (OSError, RuntimeError) as error:
        module.fail_json(msg=f"{unit}: {error}.")
    module.exit_json(changed=bool(actions), actions=actions)


if __name__ == "__main__":
    main()
