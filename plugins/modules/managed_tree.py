#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: managed_tree
short_description: Write a directory of files that belong together
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Writes a set of files into a directory after programs have checked all of them together in a temporary copy. If one of the programs refuses them,
    nothing is written.
  - Each file is replaced atomically, those in subdirectories first.
options:
  path:
    description: The directory.
    type: path
    required: true
  files:
    description: Texts of files by their paths in the directory. All users can read them.
    type: dict
    default: {}
  secret_files:
    description: The same for files that only O(owner) can read. Their contents are never shown.
    type: dict
    default: {}
  owner:
    description: Account that owns O(secret_files). In check mode it may be missing.
    type: str
    default: root
  prune:
    description: Whether to remove all other files in the directory.
    type: bool
    default: true
  prune_in:
    description: The folders of the directory to which O(prune) is limited. Empty means the whole directory.
    type: list
    elements: str
    default: []
  marker:
    description: >-
      Path of an empty file that shows that a directory of the user's choice belongs to this collection. A directory with other files and without it is
      refused. It is written before all other files.
    type: path
  only_existing:
    description: Whether to do nothing if the directory or its O(marker) does not exist.
    type: bool
    default: false
  validate:
    description: Commands that check the files, as lists of words in which C({folder}) is the temporary copy. One whose program is missing is skipped.
    type: list
    elements: list
    default: []
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Write the targets
  inferops.gpu.managed_tree:
    path: /etc/prometheus/inferops/targets
    files:
      vllm.json: "[]"
    only_existing: true
"""

RETURN = r"""
written:
  description: Paths of files that were written, relative to the directory.
  returned: success
  type: list
  elements: str
removed:
  description: Paths of files that were removed.
  returned: success
  type: list
  elements: str
missing:
  description: Whether nothing was done because the directory does not exist (O(only_existing)).
  returned: success
  type: bool
"""

import os
import pwd

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _managed_tree, _safe_paths


def wanted_files(files: dict[str, str], secret_files: dict[str, str], owner: str, check: bool) -> dict[str, _managed_tree.File]:
    """Return the wanted files. Raises ValueError."""
    found = {path: _managed_tree.File(str(text).encode(), 0o644, os.geteuid(), os.getegid()) for path, text in files.items()}
    uid, gid = os.geteuid(), os.getegid()
    if secret_files and owner != "root":
        try:
            account = pwd.getpwnam(owner)
            uid, gid = account.pw_uid, account.pw_gid
        except KeyError:
            if not check:
                raise ValueError(f"the account {owner} does not exist") from None
    found.update({path: _managed_tree.File(str(text).encode(), 0o600, uid, gid, True) for path, text in secret_files.items()})
    outside = [path for path in found if path.startswith("/") or ".." in path.split("/") or not path]
    if outside:
        raise ValueError(f"{outside[0]!r} is not a path in the directory")
    return found


def check_marker(path: str, marker: str) -> None:
    """Raises ValueError for a directory that has files and no marker."""
    if marker and not os.path.lexists(marker) and os.path.isdir(path) and os.listdir(path):
        raise ValueError(f"it has files already, and no {marker}, which marks a directory of this collection; set another directory, a new or an empty one")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "files": {"type": "dict", "default": {}},
            "secret_files": {"type": "dict", "default": {}, "no_log": True},
            "owner": {"type": "str", "default": "root"},
            "prune": {"type": "bool", "default": True},
            "prune_in": {"type": "list", "elements": "str", "default": []},
            "marker": {"type": "path"},
            "only_existing": {"type": "bool", "default": False},
            "validate": {"type": "list", "elements": "list", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    path, marker = given["path"], given["marker"] or ""
    if given["only_existing"] and not (os.path.isdir(path) and (not marker or os.path.lexists(marker))):
        module.exit_json(changed=False, written=[], removed=[], missing=True)
    try:
        check_marker(path, marker)
        wanted = wanted_files(given["files"], given["secret_files"], given["owner"], module.check_mode)
        difference = _managed_tree.compare(path, wanted, given["prune"], given["prune_in"])
        if difference:
            _managed_tree.validate(wanted, given["validate"])
        before = {name: _safe_paths.read_text(os.path.join(path, name)) for name in (*difference.write, *difference.remove)}
        unmarked = bool(marker) and not os.path.lexists(marker)
        if unmarked and not module.check_mode:
            _managed_tree.mark(marker)
        if difference and not module.check_mode:
            _managed_tree.apply(path, wanted, difference)
    except (ValueError, OSError) as error:
        module.fail_json(msg=f"The files in {path} cannot be written: {error}.")
    module.exit_json(
        changed=bool(difference) or unmarked, written=list(difference.write), removed=list(difference.remove), missing=False,
        diff=[
            {"before_header": f"{path}/{name}", "after_header": f"{path}/{name}", "before": text, "after": wanted[name].data.decode() if name in wanted else ""}
            for name, text in before.items() if not is_secret(name, wanted)
        ],
    )


def is_secret(name: str, wanted: dict[str, _managed_tree.File]) -> bool:
    """Whether a file is a secret; of those to remove, whose contents are unknown, each counts as one."""
    return name not in wanted or wanted[name].secret


if __name__ == "__main__":
    main()
