# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd's view of the units: drop-ins of others, files that changed since systemd read them, and failed units that services depend on."""

from __future__ import annotations

from .commands import output
from .context import Context
from .finding import Result, error, warning

# Units beside the services' own whose failure matters to them.
NEEDED = (
    "inferops-", "nvidia-", "systemd-sysctl", "systemd-modules-load", "systemd-tmpfiles-setup", "systemd-timesyncd", "systemd-networkd-wait-online",
    "chrony", "ufw", "nginx",
)


def check(context: Context) -> Result:
    """Each managed unit, and the failed units of the host."""
    managed = {unit.name for unit in context.units}
    for unit in context.units:
        drop_ins = unit.get("DropInPaths").split()
        if drop_ins:
            cause = f"{unit.name} has settings of others, which this collection does not write: {', '.join(drop_ins)}"
            yield warning("unit-drop-in", cause, f"systemctl cat {unit.name}", unit.service)
        if unit.get("NeedDaemonReload") == "yes":
            cause = f"the files of {unit.name} have changed since systemd read them, so it runs with older settings"
            yield warning("daemon-reload", cause, "systemctl daemon-reload", unit.service)
    for line in output("systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager").splitlines():
        name = line.split()[0] if line.split() else ""
        if name.startswith(NEEDED) and name not in managed:
            yield error("host-unit-failed", f"the unit {name} has failed", f"journalctl --unit={name} --lines=50 --no-pager")
