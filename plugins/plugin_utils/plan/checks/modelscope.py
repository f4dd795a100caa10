# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ModelScope servers in weights_endpoints: their commits are not the Hub's, and their tokens are not the Hub's."""

from __future__ import annotations

from typing import Iterator

from ansible_collections.inferops.gpu.plugins.module_utils._endpoint_kinds import is_modelscope

from .. import values
from ..errors import PlanError, shown
from ..placement.draft import HostDraft
from .base import check


@check(every_engine=True)
def revision_is_one_of_modelscope(host: HostDraft) -> Iterator[PlanError]:
    """Where all endpoints are ModelScope servers, no revision is a commit that the catalogue took from the Hub, unless the host has the weights."""
    for draft in host.services:
        entry, weights = draft.entry, draft.weights
        if entry is None or weights is None or not weights.endpoints or not all(map(is_modelscope, weights.endpoints)):
            continue
        if draft.service.revision is not None or "revision" not in entry.sources or not values.COMMIT.fullmatch(weights.revision):
            continue
        if host.facts is not None and weights.path in host.facts.weights:
            continue
        yield PlanError(
            host.name,
            draft.label,
            "revision",
            f"{shown(weights.revision)} (from the catalogue)",
            f"it is a commit of the Hugging Face Hub, and all weights_endpoints are ModelScope servers, which have their own commits of {weights.repo}",
            "set the service's revision to a commit of ModelScope (40 hexadecimal digits), or add an endpoint of the Hub or a mirror of it to"
            " weights_endpoints",
        )


@check(every_engine=True)
def token_has_one_recipient(host: HostDraft) -> Iterator[PlanError]:
    """weights_token is sent to endpoints of one kind only: a token of the Hub is none of ModelScope's business, nor the other way round."""
    recipients = [endpoint for endpoint in host.settings.weights_token_endpoints if endpoint in host.settings.weights_endpoints]
    if len({is_modelscope(endpoint) for endpoint in recipients}) > 1:
        yield PlanError(
            host.name,
            "",
            "weights_token_endpoints",
            shown(list(host.settings.weights_token_endpoints)),
            "weights_token is one token, and these are servers of the Hugging Face Hub and of ModelScope: each would get the other's token",
            "keep the endpoints of one of them in weights_token_endpoints",
        )
