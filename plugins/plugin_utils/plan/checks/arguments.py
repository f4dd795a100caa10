# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments: flags and parsers exist in the chosen vLLM, and values can be written on its command line."""

from __future__ import annotations

from typing import Any, Iterator, Union

from ..errors import HIDDEN, InvalidValue, PlanError, PlanWarning, is_secret_name, shown
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm import arguments as args
from ..vllm.flags import Section, flag
from .base import check

Finding = Union[PlanError, PlanWarning]

_PARSERS: tuple[tuple[str, Section, str], ...] = (
    ("tool_call_parser", "tool_call_parsers", "tool_parser_plugin"),
    ("reasoning_parser", "reasoning_parsers", "reasoning_parser_plugin"),
)


@check()
def flags_exist(host: HostDraft) -> Iterator[Finding]:
    """Every key of vllm_args is a flag of the version, and not one that the plan sets."""
    for draft in host.services:
        for key, value in {**draft.offered, **draft.service.vllm_args}.items():
            own = key in draft.service.vllm_args
            finding = _check_key(host, draft, key, value, own)
            if finding is not None:
                yield finding


def _check_key(host: HostDraft, draft: ServiceDraft, key: str, value: Any, own: bool) -> Finding | None:
    where = f"vllm_args.{key}" if own else f"vllm_args.{key} (from the catalogue)"
    head = key.partition(".")[0]
    if "-" in head:
        # All checks below compare this one spelling.
        why = "keys of vllm_args are written with underscores"
        return PlanError(host.name, draft.label, where, shown(value, head), why, f"write it as {head.replace('-', '_')}")
    if head in args.OWNED:
        visible = HIDDEN if is_secret_name(head) else shown(value, head)
        return PlanError(host.name, draft.label, where, visible, "the plan sets this flag", args.OWNED[head])
    if head in args.SHORT:
        return PlanError(host.name, draft.label, where, shown(value, head), "the plan does not check short flags", f"write it as {args.SHORT[head]}")
    answer = host.flags.ask("flags", flag(head), draft.version)
    if answer.state == "known" or (value is None and answer.state != "unknown"):
        return None
    why, fix = _explain_flag(host, draft, head, answer.state, answer.since)
    if host.flags.covers(draft.version):
        return PlanError(host.name, draft.label, where, shown(value, key), why, fix)
    basis = host.flags.basis(draft.version).text
    return PlanWarning(host.name, draft.label, f"{where}: {why}, according to vLLM {basis} (the plan does not know {draft.version.text}); {fix}")


def _explain_flag(host: HostDraft, draft: ServiceDraft, head: str, state: str, since: str) -> tuple[str, str]:
    name = flag(head)
    version = draft.version.text
    if state == "gone":
        return f"vLLM no longer has the flag {name} since {since}", args.RETIRED.get(head, "remove it")
    if state == "not yet":
        return f"vLLM has the flag {name} since {since}", f"remove it, or set vllm_version to {since} or newer"
    if head.startswith("no_") and host.flags.has("flags", flag(head[3:]), draft.version):
        return "vllm_args has flags without the prefix no", f"write it as {head[3:]}: false"
    near = host.flags.nearest("flags", head, draft.version)
    fix = f"did you mean {' or '.join(near)}?" if near else f"see the arguments of vllm serve {version}"
    return f"vLLM {version} has no flag {name}", fix


@check()
def values_are_serializable(host: HostDraft) -> Iterator[PlanError]:
    """Every value can be written on a command line."""
    for draft in host.services:
        for key, value in draft.given.items():
            try:
                args.check_value(value)
            except InvalidValue as bad:
                yield PlanError(host.name, draft.label, f"vllm_args.{key}", shown(value, key), bad.why, bad.fix)


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


@check()
def environment_variables_exist(host: HostDraft) -> Iterator[PlanWarning]:
    """vLLM knows each VLLM_ variable: it silently ignores misspelt and removed ones."""
    for draft in host.services:
        for name in (*draft.environment, *(name for name in draft.service.secret_names if name not in draft.environment)):
            if not name.startswith("VLLM_"):
                continue
            answer = host.flags.ask("environment", name, draft.version)
            if answer.state == "known":
                continue
            near = host.flags.nearest("environment", name, draft.version)
            what = {"gone": f"was removed in {answer.since}", "not yet": f"exists since {answer.since}"}.get(answer.state, "is unknown to it")
            hint = f"; similar names: {', '.join(near)}" if near and answer.state == "unknown" else ""
            if answer.state == "gone" and name in args.RETIRED_VARIABLES:
                hint = f"; {args.RETIRED_VARIABLES[name]}"
            yield PlanWarning(host.name, draft.label, f"vLLM {draft.version.text} ignores the environment variable {name}: it {what}{hint}")
