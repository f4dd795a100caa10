#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: weights_prune
short_description: List unused weights on a host, and remove selected ones
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Lists complete and unfinished downloads of this collection. Other files, without the collection's manifest or partial download, are never removed.
  - Keeps weights that the plan wants, that a unit of a model service names, LoRA adapters that its engine follows a file of, what a service's last known good
    state refers to, or that a process has open.
options:
  weights_dir:
    description: Directory of weights.
    type: path
    default: /var/lib/inferops/models
  state_dir:
    description: Directory of the collection's state on the host.
    type: path
    default: /var/lib/inferops
  owner:
    description: Account that owns the weights. The module finds and removes them as this account.
    type: str
    default: inferops
  wanted:
    description: Paths of the weights that the plan wants.
    type: list
    elements: str
    default: []
  remove:
    description: Unused weights to remove, each by path or as C(repo@revision). V(all) removes all unused weights.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: List unused weights
  inferops.gpu.weights_prune:
    wanted: "{{ plan_host.weights | map(attribute='path') }}"
  register: found
"""

RETURN = r"""
unused:
  description: Complete weights that are unused, each with C(path), C(name) (C(repo@revision)) and C(bytes).
  returned: success
  type: list
  elements: dict
unfinished:
  description: Unfinished downloads that are unused, with the same keys.
  returned: success
  type: list
  elements: dict
kept:
  description: Weights that are kept, with the reason in C(why).
  returned: success
  type: list
  elements: dict
removed:
  description: Weights that were removed, or would be in check mode.
  returned: success
  type: list
  elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accounts, _prune


def reason(path: str, keepers: dict[str, set[str]]) -> str:
    """Return why weights are kept; empty when they may be removed."""
    return next((why for why, paths in keepers.items() if path in paths), "")


def row(found: _prune.Found) -> dict[str, t.Any]:
    """Return weights as an item of the module's result."""
    return {"path": found.path, "name": f"{found.repo}@{found.revision}", "bytes": found.bytes, "complete": found.complete}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "weights_dir": {"type": "path", "default": "/var/lib/inferops/models"},
            "state_dir": {"type": "path", "default": "/var/lib/inferops"},
            "owner": {"type": "str", "default": "inferops"},
            "wanted": {"type": "list", "elements": "str", "default": []},
            "remove": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    directory, names = module.params["weights_dir"], module.params["remove"]
    units = _prune.read_units()
    keepers = {
        "the plan wants it": set(module.params["wanted"]),
        "a service's unit names it": _prune.unit_paths(units, directory),
        "a service has it as an adapter": _prune.unit_paths(_prune.read_adapters(units), directory),
        "the record of a service names it": _prune.unit_paths(_prune.read_records(module.params["state_dir"]), directory),
        "a process uses it": _prune.open_paths(directory),
    }
    owner = module.params["owner"]
    try:
        found = [_prune.Found(*row) for row in _accounts.as_account(owner, _prune.find, directory)]
    except KeyError:
        # Without the account there are no weights of its own.
        found = []
    except OSError as error:
        module.fail_json(msg=f"{owner} cannot read {directory}: {error}. Nothing was changed.")
    kept = [{**row(one), "why": reason(one.path, keepers)} for one in found if reason(one.path, keepers)]
    free = [row(one) for one in found if not reason(one.path, keepers)]
    known = {name for one in free for name in (one["path"], one["name"])}
    strange = [name for name in names if name != "all" and name not in known]
    if strange:
        why = {one[key]: one["why"] for one in kept for key in ("path", "name")}
        told = [f"{name} ({why[name]})" if name in why else f"{name} (does not exist)" for name in strange]
        module.fail_json(
            msg=f"Cannot remove {', '.join(told)}. These weights can be removed: {', '.join(one['name'] for one in free) or 'none'}. Nothing was changed.",
        )
    removed = [one for one in free if "all" in names or one["path"] in names or one["name"] in names]
    if not module.check_mode:
        for one in removed:
            try:
                _prune.forget_download(one["path"], module.params["state_dir"])
                _accounts.as_account(owner, _prune.remove, one["path"])
            except OSError as error:
                module.fail_json(msg=f"{owner} cannot remove {one['path']}: {error}. Files of other owners stay; remove them yourself.")
    module.exit_json(
        changed=bool(removed), removed=removed, kept=kept,
        unused=[one for one in free if one["complete"]], unfinished=[one for one in free if not one["complete"]],
        diff={"before": "".join(f"{one['path']}\n" for one in removed), "after": ""},
    )


if __name__ == "__main__":
    main()
