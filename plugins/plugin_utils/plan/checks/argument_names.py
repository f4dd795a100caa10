# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in the arguments: each flag set once, names from fixed sets, parsers that match the model, and versions without known value types."""

from __future__ import annotations

import re

from difflib import SequenceMatcher
from typing import Any, Iterator

from ..errors import PlanError, PlanWarning, nearest, shown
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm import arguments as args
from ..vllm.argument_types import FlagType
from ..vllm.features import GONE, NAMES_OF_PACKAGES, has_package
from ..vllm.flags import Section
from .base import check

# Similarity from 0 to 1 that a name needs to be suggested.
_ALIKE = 0.7

# Members that allow a name that the version does not know: the module that registers the user's own class.
_MODULE_OF = {"kv_transfer_config": "kv_connector_module_path", "ec_transfer_config": "ec_connector_module_path"}


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


@check(accept="unchecked-values")
def values_are_checked(host: HostDraft) -> Iterator[PlanWarning]:
    """The value types of the version's flags are known, so that values are checked."""
    types = host.tables.types
    for draft in host.services:
        if draft.given and not types.covers(draft.version):
            what = f"the values of vllm_args are not checked: the plan does not know the flag types of vLLM {draft.version.text}"
            yield PlanWarning(host.name, draft.label, f"{what} (it knows {', '.join(types.versions)}); vLLM checks them once the release is built")


@check()
def fixed_names_exist(host: HostDraft) -> Iterator[PlanError]:
    """A name from a fixed set exists in the version."""
    yield from _unknown_names(host, extendable=False)


@check(accept="plugin-names")
def registered_names_exist(host: HostDraft) -> Iterator[PlanError]:
    """A name from a set that plugins can extend exists in the version, or a plugin in the release registers it."""
    yield from _unknown_names(host, extendable=True)


def _unknown_names(host: HostDraft, extendable: bool) -> Iterator[PlanError]:
    for draft in host.services:
        for key, value in draft.given.items():
            takes = host.tables.types.of(key, draft.version)
            if takes is None:
                continue
            for where, name, names, is_open, folds in _named(draft, key, value, takes):
                if is_open is extendable and not _knows(name, names, folds) and not _brought(draft, where, name):
                    yield _error(host, draft, where, name, names)


def _named(draft: ServiceDraft, key: str, value: Any, takes: FlagType) -> Iterator[tuple[str, str, tuple[str, ...], bool, bool]]:
    """Names in an argument, each with its place, the known names, whether plugins may add names, and whether upper and lower case are equal."""
    head, _dot, member = key.partition(".")
    if takes.names and not member and isinstance(value, str):
        # The import path of a class names the user's own class.
        if not (head == "distributed_executor_backend" and "." in value):
            yield key, value, takes.names, takes.open, head.endswith(("attention_backend", "attn_backend"))
    for part, names in takes.member_names.items():
        found = value if member == part else args.member(draft.given, head, part) if not member else None
        if isinstance(found, str) and args.member(draft.given, head, _MODULE_OF.get(head, "")) is None:
            yield f"{head}.{part}", found, names, True, False


def _brought(draft: ServiceDraft, key: str, name: str) -> bool:
    """Whether a plugin in the release's requirements registers the name."""
    packages = [package for package, brings in NAMES_OF_PACKAGES.items() if name in brings.get(key, ())]
    return any(has_package(draft.release.requirements, package) for package in packages)


def _knows(name: str, names: tuple[str, ...], folds: bool) -> bool:
    return name in names or (folds and name.lower() in {each.lower() for each in names}) or name in ("", "None")


def _near(name: str, names: tuple[str, ...]) -> list[str]:
    """Names that the user may have meant: those with this prefix, else similar ones. Similarity alone would suggest inc for int4."""
    begun = [each for each in names if len(name) > 2 and each.lower().startswith(name.lower())]
    return begun or [each for each in nearest(name, names) if SequenceMatcher(None, each.lower(), name.lower()).ratio() >= _ALIKE]


def _error(host: HostDraft, draft: ServiceDraft, key: str, name: str, names: tuple[str, ...]) -> PlanError:
    near = _near(name, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose among {', '.join(names)}"
    if name in GONE:
        hint = GONE[name]
    package = next((package for package, brings in NAMES_OF_PACKAGES.items() if name in brings.get(key, ())), "")
    if package:
        hint = f"add {package}==<its version> to vllm_requirements, which registers it; or remove it"
    why = f"vLLM {draft.version.text} has no such name"
    return PlanError(host.name, draft.label, draft.where(key), shown(name, key), why, hint)


_PARSERS: tuple[tuple[str, Section], ...] = (("tool_call_parser", "tool_call_parsers"), ("reasoning_parser", "reasoning_parsers"))


# Qwen3 models whose chat template opens <think> itself. Before this version the parser qwen3 expects it in the answer
# (issues #22507 and #26239 of vLLM; the catalogue's entries account for it).
_OPENS_THINKING = re.compile(r"(?:^|/)qwen3-.*thinking", re.IGNORECASE)
_QWEN3_OPENS = (0, 17)


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
        for key, section in _PARSERS:
            own, offered = draft.service.vllm_args.get(key), draft.offered.get(key)
            if own is None or own == offered or draft.entry is None or not isinstance(own, str) or not host.flags.has(section, own, draft.version):
                continue
            if offered is None and (key == "reasoning_parser" or not draft.entry.sources):
                # Another check reports models without reasoning. Of a model without a catalogue entry nothing is known.
                continue
            default = f"has {offered}" if offered is not None else "has none"
            what = f"vllm_args.{key} is {shown(own)}, and the catalogue entry {draft.entry.name} {default}"
            yield PlanWarning(host.name, draft.label, f"{what}: the parser of another model loses calls or reasoning without an error; leave {key} out")
