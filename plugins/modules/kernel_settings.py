#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: kernel_settings
short_description: Set kernel parameters now and for each boot, and say what this system can't set
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Loads modules, sets what differs of the parameters, keeps both in files of its own for the next boot, and reads all of them again.
  - A parameter that this system can't set, because it is a container or lacks a module, does not make the module fail. It is
    named in a warning at every run and kept for the next boot.
  - A value that the kernel refuses is named too. It is not kept, since it would make C(systemd-sysctl) fail at boot.
  - Files that win over its own at boot, or when UFW starts, are named in a warning.
  - What is no longer asked for is taken out of the files. Its value stays in force until the next boot.
options:
  sysctl:
    description: Kernel parameters by name, with dots.
    type: dict
    default: {}
  modules:
    description: Kernel modules to load now and at boot.
    type: list
    elements: str
    default: []
  module_options:
    description: Options of kernel modules, by module, used when they are loaded.
    type: dict
    default: {}
  transparent_hugepages:
    description: V(always), V(madvise) or V(never); empty to leave them alone.
    type: str
    choices: ["", always, madvise, never]
    default: ""
  cpu_governor:
    description: The governor of all CPUs; empty to leave them alone.
    type: str
    default: ""
  memlock_users:
    description: Users, and groups as C(@group), whose sessions may pin memory without limit.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reports what would change and what could not be set.
    support: full
  diff_mode:
    description: Shows values, modules and files before and after.
    support: full
"""

EXAMPLES = r"""
- name: Make room for connections
  inferops.gpu.kernel_settings:
    modules: [nf_conntrack]
    module_options:
      nf_conntrack: hashsize=1048576
    sysctl:
      net.netfilter.nf_conntrack_max: "1048576"
      net.core.somaxconn: "65535"
"""

RETURN = r"""
in_force:
  description: Every parameter as it is in force after the run; null where it can't be read.
  returned: success
  type: dict
not_set:
  description: What is not in force, as dictionaries with C(key), C(wanted), C(in_force), C(why) and whether it is C(kept) for the next boot.
  returned: success
  type: list
  elements: dict
conflicts:
  description: Files that win over this module's with another value, as dictionaries with C(key), C(file), C(value) and C(why).
  returned: success
  type: list
  elements: dict
released:
  description: Parameters that this module had set and was no longer asked for. Their values stay until the next boot.
  returned: success
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._kernel import keys
from ..module_utils._kernel.apply import Foreign, apply
from ..module_utils._kernel.wanted import SYSCTL_FILE, Wanted


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "sysctl": {"type": "dict", "default": {}},
            "modules": {"type": "list", "elements": "str", "default": []},
            "module_options": {"type": "dict", "default": {}},
            "transparent_hugepages": {"type": "str", "choices": ["", "always", "madvise", "never"], "default": ""},
            "cpu_governor": {"type": "str", "default": ""},
            "memlock_users": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    wrong = [key for key in given["sysctl"] if not keys.is_name(key)]
    if wrong:
        module.fail_json(msg=f"{', '.join(wrong)}: not the name of a kernel parameter. Nothing was changed.")
    wanted = Wanted(
        sysctl={keys.canonical(key): keys.plain(str(value)) for key, value in given["sysctl"].items()},
        modules=tuple(given["modules"]),
        module_options={name: str(options) for name, options in given["module_options"].items()},
        transparent_hugepages=given["transparent_hugepages"],
        cpu_governor=given["cpu_governor"],
        memlock_users=tuple(given["memlock_users"]),
    )
    try:
        made = apply(wanted, check_mode=module.check_mode)
    except (Foreign, OSError) as error:
        module.fail_json(msg=str(error))
    for warning in warnings(made.not_set, made.conflicts):
        module.warn(warning)
    module.exit_json(
        changed=bool(made.after), in_force=made.values, not_set=made.not_set, conflicts=made.conflicts, released=made.released,
        diff={"before": made.before, "after": made.after},
    )


def warnings(not_set: list[dict[str, t.Any]], conflicts: list[dict[str, t.Any]]) -> list[str]:
    """A sentence for each reason why parameters are not in force, and one for each file that wins over ours."""
    by_reason: dict[tuple[str, bool], list[str]] = {}
    for row in not_set:
        found = "nothing" if row["in_force"] is None else row["in_force"]
        by_reason.setdefault((row["why"], row["kept"]), []).append(f"{row['key']} (wanted {row['wanted']}, in force {found})")
    outlook = {True: "It is kept for the next boot.", False: "It is not kept, since it would make systemd-sysctl fail at boot."}
    said = [f"Not set: {', '.join(names)}: {why}. {outlook[kept]}" for (why, kept), names in by_reason.items()]
    by_file: dict[tuple[str, str], list[str]] = {}
    for row in conflicts:
        value = "is taken out" if row["value"] is None else f"= {row['value']}"
        by_file.setdefault((row["file"], row["why"]), []).append(f"{row['key']} {value}")
    said += [f"{file} wins over {SYSCTL_FILE} ({why}): {', '.join(lines)}." for (file, why), lines in by_file.items()]
    return said


if __name__ == "__main__":
    main()
