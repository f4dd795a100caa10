# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a service in one word."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

SERVING = "serving"
STARTING = "starting"
DEGRADED = "degraded"
FAILED = "failed"
STOPPED = "stopped"
# It serves its previous configuration, since model_service_restart is false.
HOLD = "hold"
NOT_DEPLOYED = "not deployed"
# Its host was not read.
UNKNOWN = "unknown"
# The order of the table: what needs attention comes first.
ORDER = (FAILED, DEGRADED, UNKNOWN, STOPPED, NOT_DEPLOYED, STARTING, HOLD, SERVING)

# Starts in a row that have failed, from which on a service counts as failed although the supervisor tries again.
_FAILED_STARTS = 2


def unit_state(unit: Mapping[str, Any]) -> str:
    """The state of one unit (docs/supervision.md has the supervisor's status lines)."""
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


def combined(found: Sequence[str]) -> str:
    """The state of a multi-node service, which serves only if all of its units do.

    A unit reports that the service serves only while all of its nodes do, so a node that was not read changes nothing about that.
    """
    known = {state for state in found if state != UNKNOWN}
    if len(known) < 2:
        return known.pop() if known else UNKNOWN
    # Otherwise some of its units are stopped or missing while others run.
    return next((state for state in (FAILED, DEGRADED, STARTING) if state in known), DEGRADED)
