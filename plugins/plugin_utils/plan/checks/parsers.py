# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers of tool calls and reasoning: each exists in the chosen vLLM and matches the model and its chat template."""

from __future__ import annotations

import re

from typing import Iterator, Union

from ..errors import PlanError, PlanWarning, shown
from ..models import chat_templates, tasks
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm.flags import Section
from .base import check

Finding = Union[PlanError, PlanWarning]

_PARSERS: tuple[tuple[str, Section, str], ...] = (
    ("tool_call_parser", "tool_call_parsers", "tool_parser_plugin"),
    ("reasoning_parser", "reasoning_parsers", "reasoning_parser_plugin"),
)

# Qwen3 models whose chat template opens <think> itself. Before this version the parser qwen3 expects it in the answer
# (issues #22507 and #26239 of vLLM; the catalogue's entries account for it).
_OPENS_THINKING = re.compile(r"(?:^|/)qwen3-.*thinking", re.IGNORECASE)
_QWEN3_OPENS = (0, 17)


@check()
def parsers_exist(host: HostDraft) -> Iterator[Finding]:
    """Parser names are registered in the version, unless a plugin registers its own."""
    for draft in host.services:
        for key, section, plugin in _PARSERS:
            name = draft.given.get(key)
            if name is None or plugin in draft.given:
                continue
            where = f"vllm_args.{key}"
            answer = host.flags.ask(section, str(name), draft.version)
            if answer.state == "known" and isinstance(name, str):
                continue
            why = {
                "not yet": f"vLLM has this parser since {answer.since}",
                "gone": f"vLLM no longer has this parser since {answer.since}",
            }.get(answer.state, f"vLLM {draft.version.text} has no parser of this name")
            near = host.flags.nearest(section, str(name), draft.version)
            fix = f"did you mean {' or '.join(near)}?" if near else f"remove it with {key}: null, or use a parser that vLLM has"
            if answer.state == "not yet":
                fix = f"set vllm_version to {answer.since} or newer" + (f", or use {near[0]}" if near else "")
            if host.flags.covers(draft.version):
                yield PlanError(host.name, draft.label, where, shown(name), why, fix)
            else:
                yield PlanWarning(host.name, draft.label, f"{where}: {why} (the plan does not know {draft.version.text}); {fix}")
        if draft.given.get("enable_auto_tool_choice") is True and draft.given.get("tool_call_parser") is None:
            yield PlanError(
                host.name,
                draft.label,
                "vllm_args.enable_auto_tool_choice",
                "true",
                "vLLM refuses it without a tool_call_parser",
                "add the model's tool_call_parser, or remove it with enable_auto_tool_choice: null",
            )


@check()
def reasoning_parser_fits_the_model(host: HostDraft) -> Iterator[PlanError]:
    """A model without reasoning has no reasoning parser: it would take the whole answer for reasoning, and content stays empty."""
    for draft in host.services:
        name = draft.given.get("reasoning_parser")
        if name is not None and draft.entry is not None and draft.entry.thinking == "never":
            yield PlanError(
                host.name,
                draft.label,
                "vllm_args.reasoning_parser",
                shown(name),
                f"{draft.entry.name} is not a reasoning model: the parser would take every answer for reasoning and leave the content empty",
                "remove it with reasoning_parser: null",
            )


@check(accept="template-parser")
def reasoning_parser_matches_the_template(host: HostDraft) -> Iterator[PlanWarning]:
    """The reasoning parser does not expect a tag that the chat template writes itself: it would leave the reasoning in the answer.

    Catalogue entries set the right parser for their models.
    """
    for draft in host.services:
        repo = draft.entry.repo if draft.entry is not None and not draft.entry.sources else ""
        before = draft.version.release[: len(_QWEN3_OPENS)] < _QWEN3_OPENS
        if before and draft.given.get("reasoning_parser") == "qwen3" and _OPENS_THINKING.search(repo):
            what = f"{draft.where('reasoning_parser')} is qwen3, which before vLLM 0.17 expects <think> in the answer, but the template of {repo} writes it"
            yield PlanWarning(host.name, draft.label, f"{what}: the reasoning would stay in the answer; write deepseek_r1 with vLLM {draft.version.text}")


@check(accept="parser")
def parsers_match_the_model(host: HostDraft) -> Iterator[PlanWarning]:
    """A parser is the one for the model: another registered parser extracts nothing, without an error."""
    for draft in host.services:
        for key, section, _plugin in _PARSERS:
            own, offered = draft.service.vllm_args.get(key), draft.offered.get(key)
            if own is None or own == offered or draft.entry is None or not isinstance(own, str) or not host.flags.has(section, own, draft.version):
                continue
            fitting = _fitting(draft, key)
            if offered is None and fitting and own not in fitting and own in chat_templates.KNOWN:
                what = f"vllm_args.{key} is {shown(own)}, and the chat template of {draft.entry.repo} has another format"
                yield PlanWarning(host.name, draft.label, f"{what}: calls or reasoning stay in the text without an error; write {fitting[0]}")
                continue
            if offered is None and (key == "reasoning_parser" or not draft.entry.sources):
                # Another check reports models without reasoning. Of a model without a catalogue entry nothing is known.
                continue
            default = f"has {offered}" if offered is not None else "has none"
            what = f"vllm_args.{key} is {shown(own)}, and the catalogue entry {draft.entry.name} {default}"
            yield PlanWarning(host.name, draft.label, f"{what}: the parser of another model loses calls or reasoning without an error; leave {key} out")


@check(accept="parsers-off")
def unknown_model_has_parsers(host: HostDraft) -> Iterator[PlanWarning]:
    """A model without a catalogue entry has the parsers that its chat template asks for, or a null says that it has none."""
    for draft in host.services:
        for key, section, _plugin in _PARSERS:
            fitting = _fitting(draft, key)
            if not fitting or key in draft.given or key in draft.service.vllm_args or draft.entry is None:
                continue
            # Models of one class have the same parser more often than those of one format.
            kind = draft.entry.architecture.class_name
            alike = {entry.arguments.get(key) for entry in host.catalogue.entries.values() if entry.architecture.class_name == kind}
            known = [name for name in fitting if host.flags.has(section, name, draft.version)]
            name = next((name for name in known if name in alike), known[0] if known else fitting[0])
            if key == "tool_call_parser":
                off, setting = "tool calls are off: a request with tools gets an error", f"enable_auto_tool_choice: true, tool_call_parser: {name}"
            else:
                off, setting = "its reasoning stays in the content of the answers", f"reasoning_parser: {name}"
            since = "" if known else f" (with vLLM {host.flags.ask(section, name, draft.version).since or 'of another version'})"
            whose = f"{draft.entry.repo} is not in the catalogue" if draft.entry.name == draft.entry.repo else f"its entry has no {key}"
            what = f"{whose}, and {off}. By its chat template the parser is {name}"
            yield PlanWarning(host.name, draft.label, f"{what}: set vllm_args {{{setting}}}{since}, or {key}: null if it is to stay so")


def _fitting(draft: ServiceDraft, key: str) -> tuple[str, ...]:
    """Parsers for the chat template of a model without a catalogue entry; empty when nothing is known, or another template is used."""
    template = draft.entry.template if draft.entry is not None else ""
    if not template or "chat_template" in draft.given or draft.task not in (tasks.CHAT, tasks.AUTO):
        return ()
    if key == "tool_call_parser":
        return chat_templates.tool_parsers(template)
    found = chat_templates.reasoning_parsers(template)
    if found[:1] == ("qwen3",) and draft.version.release[: len(_QWEN3_OPENS)] < _QWEN3_OPENS and chat_templates.opens_reasoning(template):
        return ("deepseek_r1",) if "enable_thinking" not in template else found
    return found
