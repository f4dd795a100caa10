# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a service in one word."""

from __future__ import annotations

from typing import Sequence

from ansible_collections.inferops.gpu.plugins.module_utils._status.states import DEGRADED, FAILED, SERVING, STARTING, STOPPED, unit_state

# It serves its previous configuration, since model_service_restart is false.
HOLD = "hold"
NOT_DEPLOYED = "not deployed"
# Its host was not read.
UNKNOWN = "unknown"
# The order of the table: what needs attention comes first.
ORDER = (FAILED, DEGRADED, UNKNOWN, STOPPED, NOT_DEPLOYED, STARTING, HOLD, SERVING)

__all__ = ["DEGRADED", "FAILED", "HOLD", "NOT_DEPLOYED", "ORDER", "SERVING", "STARTING", "STOPPED", "UNKNOWN", "combined", "unit_state"]


def combined(found: Sequence[str]) -> str:
    """The state of a multi-node service, which serves only if all of its units do.

    A unit reports that the service serves only while all of its nodes do, so a node that was not read changes nothing about that.
    """
    known = {state for state in found if state != UNKNOWN}
    if len(known) < 2:
        return known.pop() if known else UNKNOWN
    # Otherwise some of its units are stopped or missing while others run.
    return next((state for state in (FAILED, DEGRADED, STARTING) if state in known), DEGRADED)
