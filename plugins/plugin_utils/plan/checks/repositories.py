# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories beside the model's own that arguments name: there to be downloaded, pinned, and named in a way that can be brought."""

from __future__ import annotations

from typing import Iterator

from .. import values
from ..artifacts import repositories
from ..errors import PlanError, PlanWarning, did_you_mean, shown
from ..placement.draft import HostDraft
from .base import check


@check()
def extra_repositories_are_valid(host: HostDraft) -> Iterator[PlanError]:
    """Each is a repository, which is downloaded, or an absolute path: the service works offline, in no folder that means anything."""
    for draft in host.services:
        for key, place, _small, _revision in repositories.places(draft.given):
            if place.startswith(("/", "~")) or repositories.is_word(key, place) or repositories.is_repository(place):
                continue
            why = "this is neither a repository id nor an absolute path, and the service looks nothing up"
            fix = "write <organisation>/<name>, which is downloaded, or put it on the host and write the absolute path of its folder"
            yield PlanError(host.name, draft.label, f"vllm_args.{key}", shown(place), why, fix)


@check()
def extra_repositories_exist(host: HostDraft) -> Iterator[PlanError]:
    """Some endpoint has each, or the host has it already."""
    for draft in host.services:
        for extra in draft.extras:
            there = extra.weights.is_local or (host.facts is not None and extra.weights.path in host.facts.weights)
            if extra.missing and not there:
                value = shown(f"{extra.repo} at revision {extra.weights.revision}")
                fix = "correct it, or put it on the host and write the absolute path of its folder"
                yield PlanError(host.name, draft.label, f"vllm_args.{extra.key}", value, f"it is not available: {extra.missing}", fix)


@check(accept="remote-code")
def remote_code_is_local(host: HostDraft) -> Iterator[PlanError]:
    """With trust_remote_code the code that a configuration names is fetched by the name of its repository, and the service fetches nothing."""
    for draft in host.services:
        if draft.given.get("trust_remote_code") is not True:
            continue
        # In a folder of the user's own the configuration may well be another one.
        own = draft.entry if draft.service.weights_path is None else None
        named = [("model", own.repo, own.code_from)] if own is not None else []
        # Of a tokenizer or a configuration alone no code is read in this way.
        named += [(f"vllm_args.{extra.key}", extra.repo, extra.code_from) for extra in draft.extras if not extra.weights.small]
        for key, repo, code_from in named:
            if code_from:
                what = "by that name, which is the Hub's" if code_from == repo else "from there"
                why = f"the config.json of {repo} names code of {code_from} (auto_map), which vLLM fetches {what}, and the service fetches nothing"
                folder = "weights_path" if key == "model" else "its place"
                fix = "take trust_remote_code out where vLLM knows the model by itself; or make a folder of both on the host, without the repository's name "
                fix += f"in auto_map, and write that folder as {folder}"
                yield PlanError(host.name, draft.label, key, shown(repo), why, fix)


@check()
def extra_repositories_are_used(host: HostDraft) -> Iterator[PlanError]:
    """What is pinned is named by an argument."""
    for draft in host.services:
        named = [place for _key, place, _small, _revision in repositories.places(draft.given)]
        for repo in draft.service.extra_repositories:
            if repo not in named:
                fix = did_you_mean(repo, [place for place in named if repositories.is_repository(place)], "take it out, or name it in vllm_args")
                yield PlanError(host.name, draft.label, f"extra_repositories.{repo}", draft.service.extra_repositories[repo], "no argument names it", fix)


@check()
def extra_repositories_are_pinned(host: HostDraft) -> Iterator[PlanWarning]:
    """A branch moves, of a further repository too."""
    for draft in host.services:
        for extra in draft.extras:
            revision = extra.weights.revision
            if extra.weights is not draft.weights and not values.COMMIT.fullmatch(revision):
                what = f"revision {revision!r} of {extra.repo} (vllm_args.{extra.key}) is not a commit and may change"
                yield PlanWarning(host.name, draft.label, f"{what}; pin it with the service's extra_repositories, as {extra.repo}: <40 hexadecimal digits>")
