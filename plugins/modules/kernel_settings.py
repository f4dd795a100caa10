#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: kernel_settings
short_description: Set kernel parameters, and report conflicts and parameters that cannot be set
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Used by the role P(inferops.gpu.kernel#role), which writes the configuration files for the next boot.
  - Loads kernel modules, sets the parameters that differ, and reads all of them again.
  - A parameter that this system cannot set, because it is a container or lacks a kernel module, does not fail the task. The module warns about it on
    every run. The same applies to a value that the kernel refuses.
  - The module also warns about configuration files that override the collection's files at boot or when UFW starts.
options:
  sysctl:
    description: Kernel parameters by name, with dots.
    type: dict
    default: {}
  modules:
    description: Kernel modules to load.
    type: list
    elements: str
    default: []
  transparent_hugepages:
    description: Transparent huge pages, V(always), V(madvise) or V(never). Empty keeps the current setting.
    type: str
    choices: ["", always, madvise, never]
    default: ""
  cpu_governor:
    description: Frequency governor of all CPUs. Empty keeps the current governors.
    type: str
    default: ""
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
attributes:
  check_mode:
    description: Reports what would change and what cannot be set.
"""

EXAMPLES = r"""
- name: Raise the limits for connections
  inferops.gpu.kernel_settings:
    modules: [nf_conntrack]
    sysctl:
      net.netfilter.nf_conntrack_max: "1048576"
      net.core.somaxconn: "65535"
"""

RETURN = r"""
not_set:
  description: >-
    Settings that are not in force, with C(key), C(wanted), C(in_force), C(why) and C(kept) (whether the configuration file keeps the setting for the next
    boot).
  returned: success
  type: list
  elements: dict
refused:
  description: Parameters whose value the kernel refuses. In a configuration file they would make C(systemd-sysctl) fail at each boot.
  returned: success
  type: list
  elements: str
conflicts:
  description: Files that override the collection's files with another value, with C(key), C(file), C(value) and C(why).
  returned: success
  type: list
  elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._exit_status import describe
from ..module_utils._kernel import keys
from ..module_utils._kernel.apply import apply
from ..module_utils._kernel.files import SYSCTL_FILE


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "sysctl": {"type": "dict", "default": {}},
            "modules": {"type": "list", "elements": "str", "default": []},
            "transparent_hugepages": {"type": "str", "choices": ["", "always", "madvise", "never"], "default": ""},
            "cpu_governor": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    wrong = [key for key in given["sysctl"] if not keys.is_name(key)]
    if wrong:
        module.fail_json(msg=f"{', '.join(wrong)}: not the name of a kernel parameter. Nothing was changed.")
    sysctl = {keys.canonical(key): keys.plain(str(value)) for key, value in given["sysctl"].items()}
    made = apply(
        sysctl, given["modules"], given["transparent_hugepages"], given["cpu_governor"],
        check_mode=module.check_mode, modprobe=lambda name: modprobe(module, name),
    )
    for warning in warnings(made.not_set, made.conflicts):
        module.warn(warning)
    module.exit_json(
        changed=bool(made.after), not_set=made.not_set, refused=made.refused, conflicts=made.conflicts, diff={"before": made.before, "after": made.after},
    )


def modprobe(module: AnsibleModule, name: str) -> str:
    """Load a module, or in check mode test whether it can be loaded; return the error, or an empty text."""
    command = module.get_bin_path("modprobe", opt_dirs=["/usr/sbin", "/sbin"])
    if command is None:
        return "the command modprobe does not exist"
    # A broken driver may make it hang.
    status, _out, said = module.run_command(["timeout", "60", command, *(["--dry-run"] if module.check_mode else []), name])
    return (said.strip() or f"modprobe {describe(status)}") if status else ""


def warnings(not_set: list[dict[str, t.Any]], conflicts: list[dict[str, t.Any]]) -> list[str]:
    """Return a warning for each reason why parameters are not in force, and one for each conflicting file."""
    by_reason: dict[tuple[str, bool], list[str]] = {}
    for item in not_set:
        found = "nothing" if item["in_force"] is None else item["in_force"]
        by_reason.setdefault((item["why"], item["kept"]), []).append(f"{item['key']} (wanted {item['wanted']}, in force {found})")
    outlook = {True: "It is configured for the next boot.", False: "It is not configured for the next boot, because systemd-sysctl would fail."}
    said = [f"Not set: {', '.join(names)}: {why}. {outlook[kept]}" for (why, kept), names in by_reason.items()]
    by_file: dict[tuple[str, str], list[str]] = {}
    for item in conflicts:
        value = "is excluded" if item["value"] is None else f"= {item['value']}"
        by_file.setdefault((item["file"], item["why"]), []).append(f"{item['key']} {value}")
    said += [f"{file} overrides {SYSCTL_FILE} ({why}): {', '.join(lines)}." for (file, why), lines in by_file.items()]
    return said


if __name__ == "__main__":
    main()
