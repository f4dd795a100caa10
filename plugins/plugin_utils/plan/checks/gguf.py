# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models that are one GGUF file: the file, its tokenizer, and what reads it."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, shown
from ..placement.draft import HostDraft
from .base import check

# From this version on a plugin reads GGUF, whose kernels are for GPUs alone (roles/plan/files/packages.yml).
_PLUGIN_SINCE = (0, 24)


@check()
def gguf_files_exist(host: HostDraft) -> Iterator[PlanError]:
    """The repository has the GGUF file, where an endpoint was asked."""
    for draft in host.services:
        if draft.service.gguf_file and draft.entry is not None and draft.entry.no_file and draft.weights is not None and not draft.weights.is_local:
            yield PlanError(host.name, draft.label, "gguf_file", shown(draft.service.gguf_file), draft.entry.no_file, "name a gguf_file that it has")


@check()
def gguf_files_are_in_the_models_repository(host: HostDraft) -> Iterator[PlanError]:
    """A service with a GGUF file names a repository: the entries of the catalogue describe other weights, in repositories without GGUF files."""
    for draft in host.services:
        if draft.service.gguf_file and draft.entry is not None and draft.entry.name != draft.entry.repo:
            why = f"the catalogue's entry {draft.entry.name} describes the weights of {draft.entry.repo}, not a GGUF file"
            fix = "name the repository with the GGUF file: model: <organisation>/<name>; facts in plan_catalogue belong to an entry of that name"
            yield PlanError(host.name, draft.label, "model", shown(draft.service.model), why, fix)


@check()
def gguf_files_have_a_tokenizer(host: HostDraft) -> Iterator[PlanError]:
    """A service with a GGUF file names the repository of its tokenizer and configuration, which the file's repository usually lacks."""
    for draft in host.services:
        if draft.service.gguf_file and not draft.given.get("tokenizer"):
            why = "vLLM reads tokenizer and configuration from another repository: the file has them in a form that it converts slowly, or not at all"
            fix = "name the repository of the model that was quantised: vllm_args: {tokenizer: <organisation>/<name>}"
            yield PlanError(host.name, draft.label, "gguf_file", shown(draft.service.gguf_file), why, fix)


@check()
def gguf_files_can_be_read(host: HostDraft) -> Iterator[PlanError]:
    """The engine reads GGUF: as its load format, and not on CPUs alone where a plugin does."""
    for draft in host.services:
        if not draft.service.gguf_file:
            continue
        if draft.given.get("load_format") != "gguf":
            value = shown(draft.given.get("load_format"))
            yield PlanError(host.name, draft.label, draft.where("load_format"), value, "the model is a GGUF file", "remove it: gguf_file sets it")
        elif draft.on_cpu and draft.version.release[: len(_PLUGIN_SINCE)] >= _PLUGIN_SINCE:
            why = "the plugin with which vLLM reads GGUF has kernels for GPUs alone"
            yield PlanError(host.name, draft.label, "gguf_file", shown(draft.service.gguf_file), why, "serve it on a host with GPUs, or serve another format")
