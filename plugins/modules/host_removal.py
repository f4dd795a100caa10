#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_removal
short_description: Remove everything that this collection installed on a host
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Stops and removes units, and then removes firewall rules, files, directories and accounts. The module finds all of them by the collection's own marks
    and names, and needs no plan.
  - Everything without such a mark or name stays. If a directory also contains other files, the module removes only the managed files from it.
  - The weights stay unless O(remove_weights) is set. The account that owns them stays with them.
  - The module disables UFW if it was disabled before the collection's first change. Otherwise UFW stays enabled, and the module removes all managed
    rules except the SSH rule.
options:
  config_dir:
    description: Directory of environment files with secrets.
    type: path
    default: /etc/inferops
  install_dir:
    description: Installation directory of tools and programs.
    type: path
    default: /opt/inferops
  releases_dir:
    description: Directory of releases.
    type: path
    default: /opt/inferops/releases
  state_dir:
    description: Directory of the collection's state on the host.
    type: path
    default: /var/lib/inferops
  cache_dir:
    description: Directory of the services' caches.
    type: path
    default: /var/cache/inferops
  uv_cache_dir:
    description: uv's cache. The module removes it only if it is in O(cache_dir).
    type: path
    default: /var/cache/inferops/uv
  weights_dir:
    description: Directory of weights.
    type: path
    default: /var/lib/inferops/models
  multi_node_ray_temp_dir:
    description: Directory of Ray's sockets and logs.
    type: path
    default: /var/lib/inferops/ray
  mirror_dir:
    description: Cache directory of the weights mirror. Its contents count as weights.
    type: path
    default: /var/cache/inferops-mirror
  mirror_install_dir:
    description: Installation directory of the weights mirror.
    type: path
    default: /opt/inferops
  account:
    description: Account that runs downloads.
    type: str
    default: inferops
  group:
    description: Group of all services.
    type: str
    default: inferops
  remove_weights:
    description: Whether to remove the downloaded weights too.
    type: bool
    default: false
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Remove everything that the collection installed
  inferops.gpu.host_removal:
"""

RETURN = r"""
removed:
  description: What was removed, or would be in check mode.
  returned: success
  type: list
  elements: str
left:
  description: What stays, each with the reason.
  returned: success
  type: list
  elements: str
"""

import os
import subprocess
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accounts, _host_removal, _package_program, _prune, _safe_paths, _systemd
from ..module_utils._firewall import host as _firewall
from ..module_utils._firewall import rules as _rules

_PATHS = {
    "config_dir": "/etc/inferops", "install_dir": "/opt/inferops", "releases_dir": "/opt/inferops/releases", "state_dir": "/var/lib/inferops",
    "cache_dir": "/var/cache/inferops", "uv_cache_dir": "/var/cache/inferops/uv", "weights_dir": "/var/lib/inferops/models",
    "multi_node_ray_temp_dir": "/var/lib/inferops/ray", "mirror_dir": "/var/cache/inferops-mirror", "mirror_install_dir": "/opt/inferops",
}


class Failed(RuntimeError):
    """A command failed; the text is its error message."""


def run(*command: str) -> None:
    """Run a command. Raises Failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")


def firewall(places: _host_removal.Places) -> tuple[list[list[str]], list[str]]:
    """Return UFW's commands that remove the managed rules, and the rules that stay."""
    state = _firewall.read_state(_firewall.saved(), places.state_dir)
    ours = [rule for rule in state.rules if rule.is_ours]
    if not ours:
        return [], []
    was_on = "ENABLED=yes" in _safe_paths.read_text(os.path.join(places.state_dir, "firewall", "before-first-change", "etc", "ufw", "ufw.conf"))
    # Disable UFW first: without the SSH rule the default policy would block SSH.
    off = [["disable"]] if state.enabled and not was_on else []
    gone = [rule for rule in ours if not (rule.is_ssh and state.enabled and was_on)]
    kept = [f"{rule}: UFW was enabled before this collection, and may block SSH without this rule" for rule in ours if rule not in gone]
    return [*off, *(["delete", *rule.arguments(), "comment", rule.comment] for rule in gone)], kept


class Removal:
    """The removal, in an order in which the next run can complete an interrupted one."""

    def __init__(self, places: _host_removal.Places, check_mode: bool) -> None:
        self.places = places
        self.check_mode = check_mode
        self.removed: list[str] = []
        self.left: list[str] = []

    def do(self, what: str, action: t.Callable[..., t.Any], *arguments: t.Any) -> None:
        """Carry out an action unless in check mode, and record it."""
        self.removed.append(what)
        if not self.check_mode:
            action(*arguments)

    def run(self) -> None:
        """Remove everything. Raises OSError and RuntimeError."""
        places = self.places
        for unit in _host_removal.units():
            self.do(f"unit {unit}", _host_removal.remove_unit, unit)
        if self.removed and not self.check_mode:
            _systemd.systemctl("daemon-reload")
        commands, kept = firewall(places)
        for command in commands:
            self.do(f"firewall: {' '.join(command)}", run, "ufw", *command)
        self.left += [f"firewall rule {line}" for line in kept]
        self.weights()
        # Before the accounts are removed: caches are recognised by their owners.
        files = _host_removal.files(places)
        # Before the record of the packages that the role has installed, whose programs stop: their packages' arguments let them listen on all addresses.
        for program in _host_removal.programs():
            self.do(f"arguments of {program}.service", _package_program.restore, program, False)
        for path in files:
            self.do(path, _safe_paths.remove, path)
        if _host_removal.linked_certificates() and not self.check_mode:
            # Without --fresh the links to removed certificates stay, unless another certificate has changed as well.
            run("update-ca-certificates", "--fresh")
        if not self.check_mode:
            self.left += [f"{path}: it does not belong to this collection, or is a mount point" for path in self.empty_folders()]
        for name in _host_removal.accounts(places):
            self.do(f"account {name}", _host_removal.remove_account, name)
        self.left += [f"group {name}: others may use it too" for name in _host_removal.group_left(places)]

    def empty_folders(self) -> list[str]:
        """Remove the folders that are empty now, and return what is left in others, except weights, which are reported separately."""
        folders = _host_removal.folders(self.places)
        before = [path for path in folders if _safe_paths.exists(path)]
        left = [path for path in _host_removal.remove_empty(folders) if path != self.places.weights_dir]
        self.removed += [path for path in before if not _safe_paths.exists(path)]
        return left

    def weights(self) -> None:
        """Remove weights, or report that they stay."""
        for found in _host_removal.weights(self.places):
            what = f"{found.path} ({found.repo}, {found.bytes / 1e9:.1f} GB)"
            if self.places.weights:
                self.do(what, _accounts.as_account, self.places.account, _prune.remove, found.path)
            else:
                self.left.append(f"{what}: weights are kept, together with the account {self.places.account}")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **{name: {"type": "path", "default": default} for name, default in _PATHS.items()},
            "account": {"type": "str", "default": "inferops"},
            "group": {"type": "str", "default": "inferops"},
            "remove_weights": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given = module.params
    places = _host_removal.Places(**{name: given[name] for name in _PATHS}, account=given["account"], group=given["group"], weights=given["remove_weights"])
    removal = Removal(places, module.check_mode)
    try:
        removal.run()
    except (OSError, RuntimeError) as error:
        done = ", ".join(removal.removed[:-1]) or "nothing"
        module.fail_json(
            msg=f"Cannot remove {removal.removed[-1] if removal.removed else 'anything'}: {error}. Removed so far: {done}. Fix the error, then run it again.",
        )
    module.exit_json(
        changed=bool(removal.removed), removed=removal.removed, left=removal.left,
        diff={"before": "".join(f"{line}\n" for line in removal.removed), "after": ""},
    )


if __name__ == "__main__":
    main()
