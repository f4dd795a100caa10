# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models: known, served by the chosen vLLM, and pinned."""

from __future__ import annotations

from typing import Iterator

from .. import values
from ..errors import PlanError, PlanWarning, did_you_mean, shown
from ..placement.draft import HostDraft
from .base import check


@check(every_engine=True)
def model_is_known(host: HostDraft) -> Iterator[PlanError]:
    """The catalogue has the model, or it is a repository id, and nothing is known that keeps it from being served."""
    for draft in host.services:
        model = draft.service.model
        if model is None:
            continue
        if draft.entry is None:
            names = list(host.catalogue.entries) + [entry.repo for entry in host.catalogue.entries.values()]
            otherwise = f"the catalogue has {', '.join(host.catalogue.entries)}; any other model goes by its repository id, <organisation>/<name>"
            yield PlanError(host.name, draft.label, "model", shown(model), "there is no such entry in the catalogue", did_you_mean(model, names, otherwise))
        elif draft.entry.unsupported:
            yield PlanError(host.name, draft.label, "model", shown(model), draft.entry.unsupported, "choose another model")


@check()
def vllm_version_supports_the_model(host: HostDraft) -> Iterator[PlanError]:
    """The chosen vLLM is at least the one that the entry asks for."""
    for draft in host.services:
        entry = draft.entry
        if entry is not None and entry.min_vllm is not None and draft.version < entry.min_vllm:
            least = entry.min_vllm
            yield PlanError(
                host.name,
                draft.label,
                "vllm_version",
                draft.version.text,
                f"{entry.name} needs vLLM {least.text} or newer",
                f"set vllm_version to {least.text} or newer, for the host or for this service",
            )


@check(every_engine=True)
def revision_is_pinned(host: HostDraft) -> Iterator[PlanWarning]:
    """A branch moves: two hosts, or one host twice, may get different weights."""
    for draft in host.services:
        if draft.weights and not values.COMMIT.fullmatch(draft.weights.revision):
            what = f"revision {draft.weights.revision!r} of {draft.weights.repo} is not a commit and may change"
            yield PlanWarning(host.name, draft.label, f"{what}; pin the service's revision to 40 hexadecimal digits")


@check(every_engine=True)
def license_is_not_gated(host: HostDraft) -> Iterator[PlanWarning]:
    """The Hub hands a gated model out only to accounts that have accepted its license."""
    for draft in host.services:
        if draft.entry is not None and draft.entry.license.gated:
            terms = draft.entry.license
            where = f" at {terms.url}" if terms.url else ""
            what = f"{draft.entry.repo} is gated ({terms.name or 'its own license'}): the Hub wants it accepted{where}, and a token of that account"
            yield PlanWarning(host.name, draft.label, f"{what} in weights_token, unless a mirror serves it")
