# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models: known, available, supported by the chosen vLLM, and pinned."""

from __future__ import annotations

from typing import Iterator

from .. import values
from ..errors import PlanError, PlanWarning, did_you_mean, one_line, shown
from ..models import tasks
from ..placement.draft import HostDraft
from .base import check


@check(every_engine=True)
def model_is_known(host: HostDraft) -> Iterator[PlanError]:
    """The model is a catalogue entry or a repository id, and the catalogue does not mark it as unsupported."""
    for draft in host.services:
        model = draft.service.model
        if model is None:
            continue
        if draft.entry is None:
            names = list(host.catalogue.entries) + [entry.repo for entry in host.catalogue.entries.values()]
            otherwise = f"the catalogue has {', '.join(host.catalogue.entries)}; for any other model write its repository id, <organisation>/<name>"
            yield PlanError(host.name, draft.label, "model", shown(model), "there is no such entry in the catalogue", did_you_mean(model, names, otherwise))
        elif draft.entry.unsupported:
            yield PlanError(host.name, draft.label, "model", shown(model), draft.entry.unsupported, "choose another model")


@check(accept="min-vllm")
def vllm_version_supports_the_model(host: HostDraft) -> Iterator[PlanError]:
    """The chosen vLLM is at least the minimum version of the catalogue entry."""
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


@check(accept="model-class")
def vllm_has_the_models_class(host: HostDraft) -> Iterator[PlanWarning]:
    """The chosen vLLM has the class that config.json names, where no catalogue entry says since when it serves the model.

    Without it vLLM tries the implementation of the transformers that it is installed with, which for a class of a later vLLM is usually too old as well.
    """
    for draft in host.services:
        name = tasks.class_of(draft.given.get("hf_overrides")) or (draft.entry.architecture.class_name if draft.entry is not None else "")
        if not name or draft.entry is None or draft.entry.min_vllm is not None or draft.given.get("model_impl") not in (None, "auto", "vllm"):
            continue
        # vLLM converts a class with another head to the one that generates (model_executor/models/registry.py, _normalize_arch).
        answers = [host.flags.ask("models", each, draft.version) for each in (name, *tasks.converted(name))]
        if any(answer.state == "known" for answer in answers) or not host.flags.covers(draft.version):
            continue
        what = f"vLLM {draft.version.text} has no class {one_line(name)} of its own, which config.json of {draft.entry.repo} names"
        since = next((answer.since for answer in answers if answer.state == "not yet"), "")
        if since:
            what += f": it is in vLLM since {since}, and without it only transformers' implementation could serve"
            yield PlanWarning(host.name, draft.label, f"{what}; set vllm_version to {since} or newer")
        else:
            yield PlanWarning(host.name, draft.label, f"{what}: it starts only if transformers' implementation serves, or a plugin in vllm_requirements does")


@check(every_engine=True)
def revision_is_pinned(host: HostDraft) -> Iterator[PlanWarning]:
    """The revision is a commit: a branch can move, and hosts would get different weights."""
    for draft in host.services:
        if draft.weights and not values.COMMIT.fullmatch(draft.weights.revision):
            what = f"revision {draft.weights.revision!r} of {draft.weights.repo} is not a commit and may change"
            yield PlanWarning(host.name, draft.label, f"{what}; pin the service's revision to 40 hexadecimal digits")


@check(every_engine=True)
def license_is_not_gated(host: HostDraft) -> Iterator[PlanWarning]:
    """The model is not gated: the Hub serves gated models only to accounts that accepted the license."""
    for draft in host.services:
        if draft.entry is not None and draft.entry.license.gated:
            terms = draft.entry.license
            where = f" at {terms.url}" if terms.url else ""
            what = f"{draft.entry.repo} is gated ({terms.name or 'its own license'}): accept it{where}, and set a token of that account"
            yield PlanWarning(host.name, draft.label, f"{what} in weights_token, unless a mirror serves the model")


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
