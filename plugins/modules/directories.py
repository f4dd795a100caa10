#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: directories
short_description: Create several directories with owner, group and mode in one call
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Like M(ansible.builtin.file) with C(state=directory), but for a list of directories in one module call.
  - Creates missing parents with owner root and mode 0755. Leaves existing parents unchanged.
  - Follows a symbolic link only if root owns it and only root can write to its directory. Any other link is an error.
options:
  directories:
    description: The directories. The module creates them in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      owner:
        description: Name of the owner.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
      mode:
        description: Octal mode.
        type: str
        default: "0755"
      keep:
        description: Whether to leave an existing directory unchanged, whatever its owner and mode.
        type: bool
        default: false
      former:
        description: Previous owner. With O(directories[].keep), a directory that this account owns is changed all the same.
        type: str
        default: ""
      of:
        description:
          - With O(directories[].keep), the accounts that may own an existing directory. Empty accepts any owner. Other accounts of the same service
            are accepted too.
          - A directory of another account is an error. So is a directory of root that contains files of other accounts. The module checks this before
            it changes anything.
        type: list
        elements: str
        default: []
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Create the directories
  inferops.gpu.directories:
    directories:
      - path: /etc/inferops
      - path: /var/cache/inferops
        owner: inferops
        group: inferops
        mode: "0750"
"""

RETURN = r"""
changed_paths:
  description: Directories that were created or changed.
  returned: always
  type: list
  elements: str
"""

import grp
import os
import pwd
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _directories, _safe_paths


def make(path: str, owner: str, group: str, mode: int) -> None:
    """Create a directory, or set its owner, group and mode; missing parents belong to root."""
    os.close(_safe_paths.make_folder(path, pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid, mode))


def refuse_others(path: str, group: str, names: t.Sequence[str], is_roots: bool) -> None:
    """Raise Unsafe when a directory exists and belongs to none of these accounts. C(is_roots): root owns it, for their group."""
    try:
        folder = _safe_paths.open_folder(path)
    except FileNotFoundError:
        return
    try:
        found = os.fstat(folder)
        if not is_roots or found.st_uid != os.geteuid() or _directories.name_of(grp.getgrgid, found.st_gid) != group:
            modes = _safe_paths.RAY if is_roots else _safe_paths.CUT_OFF
            _safe_paths.refuse_others(folder, path, _safe_paths.accounts_of(*names), modes, wholly=is_roots)
    finally:
        os.close(folder)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directories": {
                "type": "list", "elements": "dict", "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str", "default": "0755"},
                    "keep": {"type": "bool", "default": False},
                    "former": {"type": "str", "default": ""},
                    "of": {"type": "list", "elements": "str", "default": []},
                },
            },
        },
        supports_check_mode=True,
    )
    for wanted in module.params["directories"]:
        try:
            if wanted["keep"] and wanted["of"]:
                refuse_others(wanted["path"], wanted["group"], wanted["of"], wanted["owner"] == "root")
        except OSError as error:
            module.fail_json(msg=f"{wanted['owner']} cannot become the owner of {wanted['path']}: {error.strerror}. Nothing was changed.")
    before: dict[str, str | None] = {}
    after: dict[str, str] = {}
    for wanted in module.params["directories"]:
        target = f"{wanted['owner']}:{wanted['group']} {int(wanted['mode'], 8):04o}"
        try:
            current = _directories.describe(wanted["path"])
            if current == target or (current is not None and wanted["keep"] and current.partition(":")[0] != wanted["former"]):
                continue
            if not module.check_mode:
                make(wanted["path"], wanted["owner"], wanted["group"], int(wanted["mode"], 8))
        except (OSError, KeyError) as error:
            module.fail_json(msg=f"Cannot create {wanted['path']} as {target}: {error}")
        before[wanted["path"]], after[wanted["path"]] = current, target
    module.exit_json(changed=bool(after), changed_paths=sorted(after), diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
