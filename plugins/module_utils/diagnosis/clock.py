# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the host's clock is synchronised. Tokens, certificates and logs of several nodes depend on it; the controller compares the time itself."""

from __future__ import annotations

from .commands import Unread, is_installed, output
from .context import Context
from .finding import Result, warning


def check(context: Context) -> Result:
    """What systemd says about the kernel's clock (timedatectl(1)). A container has the clock of its host."""
    if in_container():
        return
    found = dict(line.partition("=")[::2] for line in output("timedatectl", "show").splitlines())
    if found.get("NTPSynchronized") == "no":
        service = "a time service is on, and has not synchronised it" if found.get("NTP") == "yes" else "no time service is on"
        command = "timedatectl timesync-status" if found.get("NTP") == "yes" else "timedatectl set-ntp true"
        if not is_installed("chronyc") and found.get("CanNTP") == "no":
            command = "apt-get install systemd-timesyncd"
        yield warning("clock-unsynchronised", f"the clock is not synchronised: {service}", command)


def in_container() -> bool:
    """Whether this host is a container; not when systemd cannot tell."""
    try:
        return output("systemd-detect-virt", "--container", status=(0, 1)).strip() not in ("", "none")
    except Unread:
        return False
