# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blue/green updates: the host has room for a second engine of each service that runs."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, PlanWarning
from ..inputs.settings.rollout import BLUE_GREEN
from ..placement.draft import HostDraft
from ..placement.green import green_of, is_deployed
from .base import check


@check(accept="blue-green", every_engine=True)
def blue_green_fits(host: HostDraft) -> Iterator[PlanError | PlanWarning]:
    """With blue_green a second engine of each running service fits on the host. A service that does not run yet starts as usual, with a warning; a service
    that accepts it restarts."""
    if host.settings.model_service_update_strategy != BLUE_GREEN:
        return
    for draft in host.services:
        green = green_of(host, draft)
        if green is None or green.fits:
            continue
        if is_deployed(host, draft):
            yield PlanError(host.name, draft.label, "model_service_update_strategy", BLUE_GREEN, green.why, green.fix)
        else:
            yield PlanWarning(host.name, draft.label, f"{draft.label} cannot be updated {BLUE_GREEN} later: {green.why}; {green.fix}")
