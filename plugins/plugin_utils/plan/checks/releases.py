# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases: sources that stay what they are, and settings of which one needs the other."""

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
    """A source that moves is told of; where several hosts serve one model together, they must not run two releases under one name."""
    for draft in host.services:
        source = draft.release.source
        if not source.moves:
            continue
        why = f"{_words(source)} can be another vLLM on another day"
        if draft.is_distributed:
            fix = "the hosts of a service run the very same release: write the commit, the nightly's exact version, or the file's sha256"
            yield PlanError(host.name, _label(draft), "vllm_source", shown(_value(source)), why, fix)
        else:
            yield PlanWarning(host.name, _label(draft), f"{why}; what a host has built is in its release.json, and stays until the words here change")


@check()
def nightlies_have_an_index(host: HostDraft) -> Iterator[PlanError]:
    """Nightly builds are in no index that is asked by default."""
    for draft in host.services:
        release = draft.release
        if release.source.kind == sources.NIGHTLY and not (release.index_url or release.extra_index_urls or release.find_links):
            why = "nightly builds are in an index of their own, and no index is named"
            yield PlanError(host.name, _label(draft), "vllm_source", sources.NIGHTLY, why, "name vLLM's nightly index, or a mirror of it, in vllm_extra_index_urls")


@check(every_engine=True)
def wheelhouse_is_set(host: HostDraft) -> Iterator[PlanError]:
    """Without an index everything comes from find-links."""
    for draft in host.services:
        if draft.release.no_index and not draft.release.find_links:
            why = "no package index is to be asked, and no wheelhouse is named"
            yield PlanError(host.name, "", "vllm_no_index", "true", why, "name the wheelhouse in vllm_find_links, or leave vllm_no_index out")


@check()
def file_matches_the_version(host: HostDraft) -> Iterator[PlanError]:
    """A file whose name tells a version is of the line that the plan counts with: flags come and go between lines."""
    for draft in host.services:
        source = draft.release.source
        match = _FILE.search(unquote(source.address)) if source.kind == sources.FILE else None
        found = parse(match["version"]) if match else None
        if found is not None and found.release[:2] != draft.version.release[:2]:
            why = f"by its name the file is vLLM {found.text}, and the plan counts with {draft.version.text}"
            yield PlanError(host.name, _label(draft), "vllm_source", shown(source.address), why, f"say vllm_version: {found.text}, or name another file")


def _label(draft: ServiceDraft) -> str:
    """The service where it says its source itself; else the host's settings do."""
    return draft.label if draft.service.vllm_source is not None else ""


def _words(source: sources.Source) -> str:
    if source.kind == sources.GIT:
        return f"the branch or tag {source.reference}"
    return "nightly" if source.kind == sources.NIGHTLY else "a file without its sha256"


def _value(source: sources.Source) -> str:
    return f"git+{source.address}@{source.reference}" if source.kind == sources.GIT else source.address or source.kind
