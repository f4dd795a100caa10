#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_files
short_description: Create the directories of services' files and remove unused ones
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - The files of a service are in a directory that is named after a digest of their contents. Root owns the directory, and every process can read it.
  - Removes previous directories of a service, except those that the installed unit or the service's last known good state refers to.
options:
  services:
    description: Services with files.
    type: list
    elements: dict
    required: true
    suboptions:
      root:
        description: Parent directory of the service's directories.
        type: path
        required: true
      folder:
        description: Directory in O(services[].root) for the files that the service needs now.
        type: path
        required: true
      named_by:
        description: Files that name the directories to keep, which are the unit file and the last known good state.
        type: list
        elements: path
        required: true
extends_documentation_fragment:
  - inferops.gpu.attributes.no_diff
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Create the directory
  inferops.gpu.service_files:
    services:
      - root: /etc/inferops/files/qwen3
        folder: /etc/inferops/files/qwen3/0123456789abcdef
        named_by: [/etc/systemd/system/vllm-qwen3.service, /var/lib/inferops/served/qwen3.json]
"""

RETURN = r"""
made:
  description: Directories that were created, or would be in check mode.
  returned: always
  type: list
  elements: str
removed:
  description: Directories that were removed, or would be in check mode.
  returned: always
  type: list
  elements: str
"""

import os
import shutil
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host import read_text


def unneeded(row: t.Mapping[str, t.Any]) -> list[str]:
    """Return the service's folders that neither its present files nor any of the texts need."""
    try:
        names = sorted(os.listdir(row["root"]))
    except FileNotFoundError:
        return []
    texts = [read_text(path) for path in row["named_by"]]
    found = [os.path.join(row["root"], name) for name in names]
    return [path for path in found if path != row["folder"] and not any(path + "/" in text for text in texts)]


def make(root: str, folder: str) -> None:
    """Create the folder with its parents, and set their modes, independent of the umask."""
    for path in (os.path.dirname(root), root, folder):
        os.makedirs(path, mode=0o755, exist_ok=True)
        os.chmod(path, 0o755)


def main() -> None:
    options = {
        "root": {"type": "path", "required": True},
        "folder": {"type": "path", "required": True},
        "named_by": {"type": "list", "elements": "path", "required": True},
    }
    module = AnsibleModule(argument_spec={"services": {"type": "list", "elements": "dict", "required": True, "options": options}}, supports_check_mode=True)
    rows = module.params["services"]
    made = [row["folder"] for row in rows if not os.path.isdir(row["folder"])]
    removed = [path for row in rows for path in unneeded(row)]
    if not module.check_mode:
        try:
            for row in rows:
                make(row["root"], row["folder"])
            for path in removed:
                shutil.rmtree(path)
        except OSError as error:
            module.fail_json(msg=f"Cannot write the files of the services: {error}")
    module.exit_json(changed=bool(made or removed), made=made, removed=removed)


if __name__ == "__main__":
    main()
