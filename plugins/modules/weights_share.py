#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: weights_share
short_description: Export weights to the hosts that copy them
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Creates an export directory C(<path>.share) next to the weights, with hard links to their files. Its layout follows the URLs of the Hub,
    C(<repo>/resolve/<commit>/<file>).
  - For complete weights, the module links all files in their manifest. For others, it creates only the directory; the download then links each file
    that it has verified.
  - Hard links need no disk space and stay valid when the download gets its final name.
options:
  weights:
    description: The weights, in the form of the plan. The module uses C(path), C(repo) and C(manifest).
    type: list
    elements: dict
    required: true
  folders:
    description: With O(state=absent), further export directories to remove, which an earlier run may have left. Their names have to end in C(.share).
    type: list
    elements: path
    default: []
  owner:
    description: Account that owns the weights. The module works as this account, so the account gains no rights.
    type: str
    default: inferops
  state:
    description: Whether the export directories should exist.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Export the weights
  inferops.gpu.weights_share:
    weights:
      - path: /var/lib/inferops/models/Qwen--Qwen3-0.6B/c1899de289a04d12100db370d81485cdf75e47ca
        repo: Qwen/Qwen3-0.6B
        manifest: /var/lib/inferops/models/Qwen--Qwen3-0.6B/c1899de289a04d12100db370d81485cdf75e47ca.manifest.json
    owner: inferops
"""

RETURN = r"""
changed_paths:
  description: Directories and files that were created or removed.
  returned: success
  type: list
  elements: str
"""

import json
import os
import pwd
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accounts, _hub_answers, _safe_paths

SUFFIX = ".share"


def links_of(weights: dict[str, t.Any]) -> dict[str, str]:
    """Return the wanted links, as path of the link to path of the file; none while the weights are not complete."""
    try:
        manifest = json.loads(_safe_paths.read_bytes(weights["manifest"]))
        base = os.path.join(weights["path"] + SUFFIX, weights["repo"], "resolve", _hub_answers.commit(manifest["commit"]))
        paths = [file["path"] for file in _hub_answers.files(manifest["files"])]
        return {os.path.join(base, path): os.path.join(weights["path"], path) for path in paths}
    except FileNotFoundError:
        return {}


def is_link(link: str, file: str) -> bool:
    """Whether a path is a hard link to the present file."""
    return os.path.exists(link) and os.path.samefile(link, file)


def show(rows: list[dict[str, t.Any]], check_mode: bool) -> list[str]:
    """Create the missing folders and links; return their paths. Runs as the weights' owner, which also controls the manifest."""
    changed = []
    for weights in rows:
        export = weights["path"] + SUFFIX
        if not os.path.isdir(export):
            changed.append(export)
        missing = {link: file for link, file in links_of(weights).items() if not is_link(link, file)}
        changed += missing
        if check_mode:
            continue
        os.makedirs(export, mode=0o755, exist_ok=True)
        for link, file in missing.items():
            os.makedirs(os.path.dirname(link), mode=0o755, exist_ok=True)
            if os.path.lexists(link):
                os.unlink(link)
            os.link(file, link)
    return changed


def hide(folders: list[str], check_mode: bool) -> list[str]:
    """Remove the folders; return their paths. Runs as the weights' owner."""
    changed = [folder for folder in folders if os.path.isdir(folder) and not os.path.islink(folder)]
    for folder in changed if not check_mode else []:
        _safe_paths.remove(folder)
    return changed


def export_folders(module: AnsibleModule) -> list[str]:
    """Return the folders to remove."""
    folders = list(dict.fromkeys([weights["path"] + SUFFIX for weights in module.params["weights"]] + module.params["folders"]))
    strange = [folder for folder in folders if not folder.endswith(SUFFIX)]
    if strange:
        module.fail_json(msg=f"{', '.join(strange)}: only folders whose names end in {SUFFIX} are removed. Nothing was changed.")
    return folders


def is_there(account: str) -> bool:
    """Tell whether the host has an account."""
    try:
        return bool(pwd.getpwnam(account))
    except KeyError:
        return False


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "weights": {"type": "list", "elements": "dict", "required": True},
            "folders": {"type": "list", "elements": "path", "default": []},
            "owner": {"type": "str", "default": "inferops"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    present = module.params["state"] == "present"
    owner = module.params["owner"]
    try:
        if module.check_mode and not is_there(owner):
            # A bare host: the account has no files yet.
            changed = [weights["path"] + SUFFIX for weights in module.params["weights"]] if present else []
        elif present:
            changed = _accounts.as_account(owner, show, module.params["weights"], module.check_mode)
        else:
            changed = _accounts.as_account(owner, hide, export_folders(module), module.check_mode)
    except (OSError, KeyError, ValueError) as error:
        module.fail_json(msg=f"Cannot {'export the weights to peers' if present else 'remove the export directory'}: {error}")
    before, after = ("", "".join(f"{path}\n" for path in changed)) if present else ("".join(f"{path}\n" for path in changed), "")
    module.exit_json(changed=bool(changed), changed_paths=changed, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
