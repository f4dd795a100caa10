#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: python_tool
short_description: Install a pinned Python tool in its own virtual environment
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Installs one release of a tool into C(<install_dir>/tools/<name>-<version>) and links its commands into C(<install_dir>/bin).
  - The module creates the links last, so an incomplete installation is never used and the next run repeats it.
  - The module passes package index URLs, which may contain credentials, to the installer in its environment, not on its command line.
options:
  name:
    description: Name of the distribution.
    type: str
    required: true
  version:
    description: Exact version.
    type: str
    required: true
  commands:
    description: Commands of the tool to link.
    type: list
    elements: str
    required: true
  install_dir:
    description: Base directory.
    type: path
    default: /opt/inferops
  python:
    description: Python interpreter that creates the virtual environment.
    type: path
    default: /usr/bin/python3
  index_url:
    description: Base package index. Empty for the one of the host's own configuration.
    type: str
    default: ""
  extra_index_urls:
    description: Further package indexes.
    type: list
    elements: str
    default: []
  find_links:
    description: Directories or pages with links to packages.
    type: list
    elements: str
    default: []
  netrc:
    description: netrc file with users and passwords of package indexes. Used if it exists.
    type: path
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
  - inferops.gpu.options.proxy
attributes:
  check_mode:
    description: Reports whether the tool would be installed.
"""

EXAMPLES = r"""
- name: Install uv
  inferops.gpu.python_tool:
    name: uv
    version: 0.13.8
    commands: [uv]
"""

RETURN = r"""
path:
  description: Directory of the tool's virtual environment.
  returned: always
  type: str
"""

import os
import shutil
import subprocess

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._exit_status import describe
from ..module_utils import _proxy
from ..module_utils._index import installer_environment
from ..module_utils._masking import masked
from ..module_utils._writing import replace_link, sync_filesystem


def install(module: AnsibleModule, path: str) -> None:
    """Create the environment again and install the tool into it; on an error fail the module with the installer's output."""
    shutil.rmtree(path, ignore_errors=True)
    wanted = module.params
    environment = {**os.environ, **_proxy.environment(wanted["proxy"], wanted["proxy_password"])}
    environment.update(installer_environment(wanted["index_url"], wanted["extra_index_urls"], wanted["find_links"], wanted["netrc"] or ""))
    addresses = [value for value in environment.values() if "://" in value]
    steps = [
        [module.params["python"], "-m", "venv", path],
        [os.path.join(path, "bin", "pip"), "install", "--no-input", "--quiet", "--disable-pip-version-check",
         f"{module.params['name']}=={module.params['version']}"],
    ]
    for step in steps:
        done = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(path, ignore_errors=True)
            module.fail_json(
                msg=f"Cannot install {module.params['name']} {module.params['version']}: {os.path.basename(step[0])} {describe(done.returncode)}. "
                    "Check that the package index is reachable from the host and has that version "
                    "(host_index_url, host_extra_index_urls, host_find_links, host_ca_certificates).",
                command=step, stdout=masked(done.stdout, *addresses), stderr=masked(done.stderr, *addresses),
            )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "commands": {"type": "list", "elements": "str", "required": True},
            "install_dir": {"type": "path", "default": "/opt/inferops"},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            # URLs may contain a user and password.
            "index_url": {"type": "str", "default": "", "no_log": True},
            "extra_index_urls": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "find_links": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "netrc": {"type": "path"},
            **_proxy.OPTIONS,
        },
        supports_check_mode=True,
    )
    base = module.params["install_dir"]
    path = os.path.join(base, "tools", f"{module.params['name']}-{module.params['version']}")
    links = {os.path.join(base, "bin", command): os.path.join(path, "bin", command) for command in module.params["commands"]}
    current = {name: os.readlink(name) if os.path.islink(name) else None for name in links}
    done = all(current[name] == target and os.path.exists(target) for name, target in links.items())
    if not done and not module.check_mode:
        os.makedirs(os.path.join(base, "bin"), exist_ok=True)
        install(module, path)
        # pip syncs nothing: after a power cut the link would lead to an empty program, which looks installed.
        sync_filesystem(path)
        for name, target in links.items():
            replace_link(name, target)
    module.exit_json(changed=not done, path=path, diff={"before": current, "after": links})


if __name__ == "__main__":
    main()
