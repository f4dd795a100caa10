# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags in the arguments: each exists in the chosen vLLM and is set once."""

from __future__ import annotations

from typing import Any, Iterator, Union

from ..errors import HIDDEN, PlanError, PlanWarning, is_secret_name, shown
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm import arguments as args
from ..vllm.flags import flag
from .base import check

Finding = Union[PlanError, PlanWarning]


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
def flags_are_set_once(host: HostDraft) -> Iterator[PlanError]:
    """No flag is set twice under two spellings: vLLM would use only the last one."""
    for draft in host.services:
        names: dict[str, str] = {}
        for key in draft.service.vllm_args:
            name, _opposite = host.tables.types.spelling(key, draft.version)
            first = names.setdefault(name, key)
            if first != key:
                value = shown(draft.service.vllm_args[key], key)
                why = f"it is another name for {first}, and vLLM silently uses one of them"
                yield PlanError(host.name, draft.label, f"vllm_args.{key}", value, why, f"keep one of the two: remove {key} or {first}")
