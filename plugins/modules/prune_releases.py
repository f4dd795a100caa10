#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: prune_releases
short_description: Remove unused releases and the leftovers of interrupted builds
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Removes releases that no service names, the least recently used first, until O(keep) of them are left.
  - Always keeps a release that a running process uses, that a unit of this collection names, or that belongs to a service's last known good state. These
    releases count towards O(keep).
  - Handles only directories that this collection created. A release is renamed before its files are deleted, so a partly deleted release is never used.
  - Removes directories that a killed build or removal has left, and build units of releases that are neither wanted nor installed. The failed state of
    such a unit is reset. Its journal stays.
options:
  directory:
    description: Directory of releases.
    type: path
    required: true
  state_dir:
    description: Directory of the collection's state on the host.
    type: path
    required: true
  named:
    description: Releases that services name.
    type: list
    elements: str
    required: true
  keep:
    description: Number of releases to keep that no service names.
    type: int
    required: true
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Remove unused releases
  inferops.gpu.prune_releases:
    directory: /opt/inferops/releases
    state_dir: /var/lib/inferops
    named: [vllm-0.32.0-1a2b3c4d]
    keep: 2
"""

RETURN = r"""
pruned:
  description: Releases and leftovers that were removed, each with C(name) and C(bytes) (the disk space that was freed).
  returned: success
  type: list
  elements: dict
bytes:
  description: Disk space that was freed, in bytes. Files that uv's cache still holds as hard links are not counted.
  returned: success
  type: int
units:
  description: Build units that were removed.
  returned: success
  type: list
  elements: str
kept:
  description: Releases that no service names and that were kept.
  returned: success
  type: list
  elements: str
"""

import glob
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _host, _releases, _systemd


def needed(directory: str, state_dir: str) -> set[str]:
    """Return the releases that something on the host needs: a process, a managed unit, or the last known good state of a service."""
    paths = [*glob.glob(os.path.join(_host.UNIT_DIRECTORY, "*.service")), *glob.glob(os.path.join(glob.escape(state_dir), "served", "*.json"))]
    texts = (_host.read_text(path) for path in paths)
    told = (text for text in texts if text.startswith((_host.UNIT_MARK, "{")))
    return _releases.used_by_processes(directory) | _releases.named_in(told, directory)


def is_at_work(name: str) -> bool:
    """Tell whether the build of a release is running."""
    return _systemd.show(f"inferops-release-{name}.service", "ActiveState")["ActiveState"] in ("active", "activating", "deactivating", "reloading")


def leftovers(directory: str) -> list[str]:
    """Return the folders of builds and removals that are not running."""
    prefixes = (_releases.BUILDING, _releases.REMOVING)
    return [folder for folder in _releases.unfinished(directory) if not is_at_work(folder[len(next(filter(folder.startswith, prefixes))):])]


def stale_builds(named: set[str], standing: set[str]) -> list[str]:
    """Return the releases whose build unit is no longer needed."""
    return [name for name in _releases.builds(_host.UNIT_DIRECTORY) if name not in named | standing and not is_at_work(name)]


def drop_build(name: str, state_dir: str) -> None:
    """Remove the unit of a build with its specification and status file. Its journal stays. Raises RuntimeError with systemctl's message."""
    unit = f"inferops-release-{name}.service"
    path = os.path.join(_host.UNIT_DIRECTORY, unit)
    jobs = os.path.join(state_dir, "jobs", f"release-{name}")
    if _systemd.show(unit, "ActiveState")["ActiveState"] == "failed":
        # Without its file it would stay in systemd's list of failed units.
        _systemd.systemctl("reset-failed", unit)
    for file in (path, jobs + ".json", jobs + ".status.json"):
        if os.path.exists(file):
            os.unlink(file)


def prune(directory: str, state_dir: str, named: set[str], keep: int, check_mode: bool) -> dict[str, t.Any]:
    """Remove the surplus releases, or in check mode only list them. Raises OSError and RuntimeError."""
    found = _releases.ours(directory)
    going = _releases.surplus(found, named, needed(directory, state_dir), keep)
    units = stale_builds(named, set(found) - set(going))
    rows = [{"name": name, "bytes": _releases.size(os.path.join(directory, name))} for name in [*leftovers(directory), *going]]
    if not check_mode:
        for row in rows:
            _releases.remove(directory, str(row["name"]))
        for name in units:
            drop_build(name, state_dir)
        if units:
            _systemd.systemctl("daemon-reload")
    return {
        "changed": bool(rows or units),
        "pruned": rows,
        "bytes": sum(int(row["bytes"]) for row in rows),
        "units": [f"inferops-release-{name}.service" for name in units],
        "kept": sorted(set(found) - named - set(going)),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "state_dir": {"type": "path", "required": True},
            "named": {"type": "list", "elements": "str", "required": True},
            "keep": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    asked = module.params
    if asked["keep"] < 0:
        module.fail_json(msg=f"keep is {asked['keep']}, but must not be negative. Set it to 0 or more.")
    try:
        result = prune(asked["directory"], asked["state_dir"], set(asked["named"]), asked["keep"], module.check_mode)
    except (RuntimeError, OSError) as error:
        module.fail_json(msg=f"{error}. The next run removes the rest.")
    gone = [*(row["name"] for row in result["pruned"]), *result["units"]]
    module.exit_json(**result, diff={"before": "".join(f"{name}\n" for name in gone), "after": ""})


if __name__ == "__main__":
    main()
