# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models without a catalogue entry: available for download, and with enough metadata for the checks."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, PlanWarning, shown
from ..placement.draft import HostDraft
from .base import check


@check(every_engine=True)
def repository_exists(host: HostDraft) -> Iterator[PlanError]:
    """An endpoint has the repository at its revision, or the host already has the weights."""
    for draft in host.services:
        entry, weights = draft.entry, draft.weights
        if entry is None or weights is None or not entry.missing:
            continue
        if weights.is_local or (host.facts is not None and weights.path in host.facts.weights):
            continue
        yield PlanError(
            host.name,
            draft.label,
            "model",
            shown(f"{weights.repo} at revision {weights.revision}"),
            f"it is not available: {entry.missing}",
            "correct the service's model or revision, or add an endpoint that has it to weights_endpoints",
        )


@check(every_engine=True)
def repository_metadata_is_known(host: HostDraft) -> Iterator[PlanWarning]:
    """The model's config.json and size are known: without them the plan cannot check whether it fits."""
    for draft in host.services:
        if draft.entry is not None and draft.entry.unread:
            own = draft.entry.name != draft.entry.repo
            known = f"plan_catalogue.{draft.entry.name} does not state its architecture" if own else f"{draft.entry.repo} is not in the catalogue"
            what = f"{known}, and {draft.entry.unread}"
            yield PlanWarning(host.name, draft.label, f"{what}; the plan checks memory, parallel sizes and disk space only as far as known")
