# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's clock against the controller's: an interval that the difference lies in, from two readings of each clock."""

from __future__ import annotations

from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import error, warning

from .host import Findings, Host

# Seconds of difference that are reported; tokens and certificates of a day tolerate more, and logs of several nodes do not.
LIMIT = 2.0
ERROR_LIMIT = 60.0


def bounds(host: Host) -> tuple[float, float] | None:
    """The least and the largest difference host minus controller, in seconds; None without readings.

    The controller read its clock before the host's first and after the host's last reading. So the first pair bounds the difference from above, by the
    time of the transfer, and the last pair from below.
    """
    own, controller = host.found.get("clock", {}), host.found.get("controller", {})
    if not own or not controller:
        return None
    return own["ended"] - controller["after"], own["started"] - controller["before"]


def check(host: Host) -> Findings:
    """Report a difference only if it is certain."""
    found = bounds(host)
    if found is None:
        return
    least, most = found
    certain = least if least > 0 else -most if most < 0 else 0.0
    if certain > LIMIT:
        way = "ahead of" if least > 0 else "behind"
        build = error if certain > ERROR_LIMIT else warning
        yield build("clock", f"the clock is at least {certain:.0f} s {way} the controller's", "timedatectl status; timedatectl timesync-status")
