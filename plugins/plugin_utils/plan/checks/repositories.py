# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extra repositories that arguments name: available, pinned, and written as a repository id or a path."""

from __future__ import annotations

from typing import Iterator

from .. import values
from ..artifacts import repositories
from ..errors import PlanError, PlanWarning, did_you_mean, shown
from ..placement.draft import HostDraft
from .base import check


@check()
def extra_repositories_are_valid(host: HostDraft) -> Iterator[PlanError]:
    """Each argument for a repository is a repository id or an absolute path: the service runs offline, so a relative path has no meaning."""
    for draft in host.services:
        for key, place, _small, _revision in repositories.places(draft.given):
            if place.startswith(("/", "~")) or repositories.is_word(key, place) or repositories.is_repository(place):
                continue
            why = "this is neither a repository id nor an absolute path, and the service runs offline"
            fix = "write <organisation>/<name> to download it, or put it on the host and write the absolute path of its directory"
            yield PlanError(host.name, draft.label, f"vllm_args.{key}", shown(place), why, fix)


@check()
def extra_repositories_exist(host: HostDraft) -> Iterator[PlanError]:
    """An endpoint has each extra repository, or the host already has it."""
    for draft in host.services:
        for extra in draft.extras:
            there = extra.weights.is_local or (host.facts is not None and extra.weights.path in host.facts.weights)
            if extra.missing and not there:
                value = shown(f"{extra.repo} at revision {extra.weights.revision}")
                fix = "correct it, or put it on the host and write the absolute path of its directory"
                yield PlanError(host.name, draft.label, extra.where, value, f"it is not available: {extra.missing}", fix)


@check(accept="remote-code")
def remote_code_is_local(host: HostDraft) -> Iterator[PlanError]:
    """With trust_remote_code the repository itself contains the code: vLLM would download code of other repositories, and the service runs offline."""
    for draft in host.services:
        if draft.given.get("trust_remote_code") is not True:
            continue
        # A directory of the user may contain a different configuration.
        own = draft.entry if draft.service.weights_path is None else None
        named = [("model", own.repo, own.code_from)] if own is not None else []
        # vLLM loads no code for a tokenizer or a configuration alone.
        named += [(extra.where, extra.repo, extra.code_from) for extra in draft.extras if not extra.weights.small]
        for key, repo, code_from in named:
            if code_from:
                why = f"auto_map in the config.json of {repo} names code of {code_from}, which vLLM would download, and the service runs offline"
                setting = "weights_path" if key == "model" else "this argument"
                fix = "remove trust_remote_code where vLLM supports the model itself; or copy both into one directory on the host, without the repository's "
                fix += f"name in auto_map, and set {setting} to that directory"
                yield PlanError(host.name, draft.label, key, shown(repo), why, fix)


@check()
def remote_code_is_allowed(host: HostDraft) -> Iterator[PlanError]:
    """A model whose catalogue entry names code of its repository has trust_remote_code, which only a user may set who has read the code, and a commit."""
    for draft in host.services:
        entry = draft.entry
        if entry is None or not entry.remote_code or "tokenizer" in draft.given:
            continue
        why = f"serving {entry.name} runs code of {entry.repo} as the service's user: {entry.remote_code}"
        if draft.given.get("trust_remote_code") is not True:
            fix = "read that code, and allow it with trust_remote_code: true"
            yield PlanError(host.name, draft.label, "vllm_args.trust_remote_code", shown(draft.given.get("trust_remote_code")), why, fix)
        elif draft.weights is not None and not draft.weights.is_local and not values.COMMIT.fullmatch(draft.weights.revision):
            fix = "set the service's revision to the commit whose code you have read"
            yield PlanError(host.name, draft.label, "revision", shown(draft.weights.revision), f"{why}; and a branch may get other code", fix)


@check()
def extra_repositories_are_used(host: HostDraft) -> Iterator[PlanError]:
    """An argument names each repository in extra_repositories."""
    for draft in host.services:
        named = [place for _key, place, _small, _revision in repositories.places(draft.given)]
        named += [adapter.repo for adapter in draft.service.adapters or () if adapter.revision is None]
        for repo in draft.service.extra_repositories:
            if repo not in named:
                fix = did_you_mean(repo, [place for place in named if repositories.is_repository(place)], "remove it, or name it in vllm_args")
                yield PlanError(host.name, draft.label, f"extra_repositories.{repo}", draft.service.extra_repositories[repo], "no argument names it", fix)


@check()
def extra_repositories_are_pinned(host: HostDraft) -> Iterator[PlanWarning]:
    """The revision of each extra repository is a commit: a branch can move."""
    for draft in host.services:
        for extra in draft.extras:
            revision = extra.weights.revision
            if extra.weights is not draft.weights and not values.COMMIT.fullmatch(revision):
                what = f"revision {revision!r} of {extra.repo} ({extra.where}) is not a commit and may change"
                fix = f"pin it with the service's extra_repositories, as {extra.repo}: <40 hexadecimal digits>"
                if extra.key.startswith(repositories.ADAPTERS):
                    fix = "pin it with its revision: <40 hexadecimal digits>"
                yield PlanWarning(host.name, draft.label, f"{what}; {fix}")
