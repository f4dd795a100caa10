# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of modules that read a host first of all: a host on which no module can start is one clear error."""

from __future__ import annotations

import typing as t

from ansible.plugins.action.normal import ActionModule as NormalAction

# What Python prints when it finds no place for a module's files, and what any program prints whose file does not fit.
_FULL = ("No usable temporary directory found", "No space left on device")


def full_disk_error(host: str, result: t.Mapping[str, t.Any]) -> str:
    """Return the error if a module could not start on a host because its disk is full, otherwise an empty text."""
    # A module that did not run leaves module_stderr. Newer versions of ansible-core do not say whether they have parsed a result.
    if not result.get("failed") or result.get("_ansible_parsed") or not any(text in str(result.get("module_stderr", "")) for text in _FULL):
        return ""
    return (
        f"{host}: no module can start there, because there is no free space for temporary files in /tmp, /var/tmp or the login's home: a disk is full, or has"
        f" no free inodes. Fix: free space on {host} (df -h / /tmp /var/tmp; df -i / /tmp /var/tmp), then run again."
    )


class ReadHost(NormalAction):
    """Runs the module of the task as Ansible does without an action of ours. Its result is that of the module, but for the error of a full disk."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        error = full_disk_error((task_vars or {}).get("inventory_hostname", ""), result)
        return {"failed": True, "changed": False, "msg": error} if error else result
