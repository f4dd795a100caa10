# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of one unit in one word."""

from __future__ import annotations

import typing as t

SERVING = "serving"
STARTING = "starting"
DEGRADED = "degraded"
FAILED = "failed"
STOPPED = "stopped"
# All states of a unit.
OF_UNITS = (FAILED, DEGRADED, STOPPED, STARTING, SERVING)

# Starts in a row that have failed, from which on a service counts as failed although the supervisor tries again.
_FAILED_STARTS = 2


def unit_state(unit: t.Mapping[str, t.Any]) -> str:
    """Return the state of a unit from C(read.read_units) (docs/supervision.md has the supervisor's status lines)."""
    active, status = str(unit["active"]), str(unit["status"])
    if active == "failed":
        return FAILED
    if active in ("inactive", "deactivating"):
        return STOPPED
    if active == "active":
        warned = status.startswith(("serving:", "degraded"))
        return DEGRADED if warned or (unit["engine"] or {}).get("error") else SERVING
    if status.startswith("degraded"):
        return DEGRADED
    return FAILED if unit["failed_starts"] >= _FAILED_STARTS else STARTING
