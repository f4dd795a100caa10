# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases: pinned sources, and settings that need each other."""

from __future__ import annotations

import re

from typing import Iterator, Union
from urllib.parse import unquote

from ..errors import PlanError, PlanWarning, shown
from ..inputs.settings import sources
from ..placement.draft import HostDraft, ServiceDraft
from ..versions import parse
from .base import check

Finding = Union[PlanError, PlanWarning]

# An sdist's or wheel's name: vllm-<version>.tar.gz, vllm-<version>-<tags>.whl
_FILE = re.compile(r"vllm-(?P<version>[^-/]+?)(?:-[^/]*\.whl|\.tar\.gz|\.zip)$")


@check()
def sources_are_pinned(host: HostDraft) -> Iterator[Finding]:
    """The source of a release is pinned. A moving source is a warning; in a multi-node service it is an error, since all nodes need the same release."""
    for draft in host.services:
        source = draft.release.source
        if not source.moves:
            continue
        why = f"{_words(source)} is not pinned and can become a different vLLM"
        if draft.is_distributed:
            fix = "all nodes need the same release: write the commit, the nightly's exact version, or the file's sha256"
            yield PlanError(host.name, _label(draft), "vllm_source", shown(_value(source)), why, fix)
        else:
            yield PlanWarning(host.name, _label(draft), f"{why}; a host keeps what it has built (see release.json) until this setting changes")


@check()
def nightlies_have_an_index(host: HostDraft) -> Iterator[PlanError]:
    """A nightly build has a package index: the default indexes do not have it."""
    for draft in host.services:
        release = draft.release
        if release.source.kind == sources.NIGHTLY and not (release.index_url or release.extra_index_urls or release.find_links):
            why = "nightly builds have their own package index, and no index is set"
            fix = "add vLLM's nightly index, or a mirror of it, to vllm_extra_index_urls"
            yield PlanError(host.name, _label(draft), "vllm_source", sources.NIGHTLY, why, fix)


@check(every_engine=True)
def wheelhouse_is_set(host: HostDraft) -> Iterator[PlanError]:
    """vllm_find_links names a wheelhouse where vllm_no_index turns off the indexes."""
    for draft in host.services:
        if draft.release.no_index and not draft.release.find_links:
            why = "package indexes are turned off, and no wheelhouse is set"
            yield PlanError(host.name, "", "vllm_no_index", "true", why, "set the wheelhouse in vllm_find_links, or leave vllm_no_index out")


@check()
def file_matches_the_version(host: HostDraft) -> Iterator[PlanError]:
    """A source file with a version in its name has the minor version of vllm_version, by which the plan knows the flags."""
    for draft in host.services:
        source = draft.release.source
        match = _FILE.search(unquote(source.address)) if source.kind == sources.FILE else None
        found = parse(match["version"]) if match else None
        if found is not None and found.release[:2] != draft.version.release[:2]:
            why = f"by its name the file is vLLM {found.text}, and vllm_version is {draft.version.text}"
            yield PlanError(host.name, _label(draft), "vllm_source", shown(source.address), why, f"set vllm_version: {found.text}, or name another file")


def _label(draft: ServiceDraft) -> str:
    """The service where it sets its source; empty where the host's settings do."""
    return draft.label if draft.service.vllm_source is not None else ""


def _words(source: sources.Source) -> str:
    if source.kind == sources.GIT:
        return f"the branch or tag {source.reference}"
    return "nightly" if source.kind == sources.NIGHTLY else "a file without its sha256"


def _value(source: sources.Source) -> str:
    return f"git+{source.address}@{source.reference}" if source.kind == sources.GIT else source.address or source.kind
