# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is to have, and the files that keep it so from one boot to the next."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

MARK = "# Managed by inferops.gpu: changes made here are lost."

MODULES_FILE = "/etc/modules-load.d/inferops.conf"
OPTIONS_FILE = "/etc/modprobe.d/inferops.conf"
# 60 to 90 is what sysctl.d(5) recommends for files in /etc: what an administrator numbers higher, or writes into /etc/sysctl.conf, wins.
SYSCTL_FILE = "/etc/sysctl.d/90-inferops.conf"
TMPFILES_FILE = "/etc/tmpfiles.d/inferops.conf"
LIMITS_FILE = "/etc/security/limits.d/90-inferops.conf"
FILES = (MODULES_FILE, OPTIONS_FILE, SYSCTL_FILE, TMPFILES_FILE, LIMITS_FILE)

HUGEPAGES = "/sys/kernel/mm/transparent_hugepage/enabled"
GOVERNORS = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"


@dataclass(frozen=True)
class Wanted:
    """Kernel settings: parameters by name, modules with their options, and what is empty when nobody set it."""

    sysctl: t.Dict[str, str] = field(default_factory=dict)
    modules: t.Tuple[str, ...] = ()
    module_options: t.Dict[str, str] = field(default_factory=dict)
    transparent_hugepages: str = ""
    cpu_governor: str = ""
    memlock_users: t.Tuple[str, ...] = ()

    def files(self, refused: t.Container[str] = ()) -> dict[str, str]:
        """The text of each of our files, without the parameters that the kernel refused; empty where there is to be none."""
        written = {HUGEPAGES: self.transparent_hugepages, GOVERNORS: self.cpu_governor}
        return {
            MODULES_FILE: _text("Loaded at boot, before parameters are set.", self.modules),
            OPTIONS_FILE: _text("Used when the module is loaded.", [f"options {name} {text}" for name, text in sorted(self.module_options.items())]),
            SYSCTL_FILE: _text(
                "Set at boot by systemd-sysctl, after systemd-modules-load.",
                [f"{key} = {value}" for key, value in self.sysctl.items() if key not in refused],
            ),
            TMPFILES_FILE: _text("Written at boot by systemd-tmpfiles.", [f"w {path} - - - - {value}" for path, value in written.items() if value]),
            LIMITS_FILE: _text("Memory that programs of these users may pin.", [f"{name} - memlock unlimited" for name in self.memlock_users]),
        }


def _text(what: str, lines: t.Iterable[str]) -> str:
    written = "".join(f"{line}\n" for line in lines)
    return f"{MARK}\n# {what}\n{written}" if written else ""
