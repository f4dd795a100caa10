# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names among the arguments: flags given once, names of fixed sets, parsers that are the model's, and values that nobody has checked."""

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

# Likeness from 0 to 1 that a name of a set needs to be offered.
_ALIKE = 0.7

# What lets a name through that the version does not know: somebody's own class by its path, or a module that registers it.
_MODULE_OF = {"kv_transfer_config": "kv_connector_module_path", "ec_transfer_config": "ec_connector_module_path"}


@check()
def flags_are_set_once(host: HostDraft) -> Iterator[PlanError]:
    """A flag and another spelling of it are one flag, of which vLLM takes the last."""
    for draft in host.services:
        names: dict[str, str] = {}
        for key in draft.service.vllm_args:
            name, _opposite = host.tables.types.spelling(key, draft.version)
            first = names.setdefault(name, key)
            if first != key:
                value = shown(draft.service.vllm_args[key], key)
                why = f"it is another name of what {first} says, and vLLM takes one of them without a word"
                yield PlanError(host.name, draft.label, f"vllm_args.{key}", value, why, f"keep one of the two: take {key} out, or {first}")


@check(accept="unchecked-values")
def values_are_checked(host: HostDraft) -> Iterator[PlanWarning]:
    """Types are known of the versions whose parser was read."""
    types = host.tables.types
    for draft in host.services:
        if draft.given and not types.covers(draft.version):
            what = f"the values of vllm_args are not checked: what the flags of vLLM {draft.version.text} take is not known here"
            yield PlanWarning(host.name, draft.label, f"{what} (it is of {', '.join(types.versions)}); vLLM itself checks them when the release is there")


@check()
def fixed_names_exist(host: HostDraft) -> Iterator[PlanError]:
    """A name of a fixed set is one of the version's."""
    yield from _unknown_names(host, extendable=False)


@check(accept="plugin-names")
def registered_names_exist(host: HostDraft) -> Iterator[PlanError]:
    """A name of a set that plugins add to is one of the version's, or of a plugin's that the release holds."""
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
    """Names that an argument gives: where, the name, those that there are, whether plugins may add to them, whether letter case does not matter."""
    head, _dot, member = key.partition(".")
    if takes.names and not member and isinstance(value, str):
        # A class by its path is the user's own.
        if not (head == "distributed_executor_backend" and "." in value):
            yield key, value, takes.names, takes.open, head.endswith(("attention_backend", "attn_backend"))
    for part, names in takes.member_names.items():
        found = value if member == part else args.member(draft.given, head, part) if not member else None
        if isinstance(found, str) and args.member(draft.given, head, _MODULE_OF.get(head, "")) is None:
            yield f"{head}.{part}", found, names, True, False


def _brought(draft: ServiceDraft, key: str, name: str) -> bool:
    """Whether a plugin among the release's requirements brings the name."""
    packages = [package for package, brings in NAMES_OF_PACKAGES.items() if name in brings.get(key, ())]
    return any(has_package(draft.release.requirements, package) for package in packages)


def _knows(name: str, names: tuple[str, ...], folds: bool) -> bool:
    return name in names or (folds and name.lower() in {each.lower() for each in names}) or name in ("", "None")


def _near(name: str, names: tuple[str, ...]) -> list[str]:
    """Names that one may have meant: a beginning of theirs, or nearly theirs. Likeness alone makes inc of int4."""
    begun = [each for each in names if len(name) > 2 and each.lower().startswith(name.lower())]
    return begun or [each for each in nearest(name, names) if SequenceMatcher(None, each.lower(), name.lower()).ratio() >= _ALIKE]


def _error(host: HostDraft, draft: ServiceDraft, key: str, name: str, names: tuple[str, ...]) -> PlanError:
    near = _near(name, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose among {', '.join(names)}"
    if name in GONE:
        hint = GONE[name]
    package = next((package for package, brings in NAMES_OF_PACKAGES.items() if name in brings.get(key, ())), "")
    if package:
        hint = f"add {package}==<its version> to vllm_requirements, which brings it; or take it out"
    why = f"vLLM {draft.version.text} has no such name"
    return PlanError(host.name, draft.label, draft.where(key), shown(name, key), why, hint)


_PARSERS: tuple[tuple[str, Section], ...] = (("tool_call_parser", "tool_call_parsers"), ("reasoning_parser", "reasoning_parsers"))


# Models of Qwen3 whose template opens <think> itself, whoever packed them. Before this version the parser qwen3 wants it in the answer
# (reports #22507 and #26239 of vLLM's repository; the catalogue's entries say the same of theirs).
_OPENS_THINKING = re.compile(r"(?:^|/)qwen3-.*thinking", re.IGNORECASE)
_QWEN3_OPENS = (0, 17)


@check(accept="template-parser")
def reasoning_parser_matches_the_template(host: HostDraft) -> Iterator[PlanWarning]:
    """A parser that wants what the model's template writes itself leaves all thoughts in the answer. Of models with an entry that one tells."""
    for draft in host.services:
        repo = draft.entry.repo if draft.entry is not None and not draft.entry.sources else ""
        before = draft.version.release[: len(_QWEN3_OPENS)] < _QWEN3_OPENS
        if before and draft.given.get("reasoning_parser") == "qwen3" and _OPENS_THINKING.search(repo):
            what = f"{draft.where('reasoning_parser')} is qwen3, which before vLLM 0.17 wants a <think> in the answer, and the template of {repo} writes that"
            yield PlanWarning(host.name, draft.label, f"{what}: all thoughts would stand in the answer; write deepseek_r1 with vLLM {draft.version.text}")


@check(accept="parser")
def parsers_match_the_model(host: HostDraft) -> Iterator[PlanWarning]:
    """A parser that is registered but not the model's takes nothing out of its answers, and nobody is told."""
    for draft in host.services:
        for key, section in _PARSERS:
            own, offered = draft.service.vllm_args.get(key), draft.offered.get(key)
            if own is None or own == offered or draft.entry is None or not isinstance(own, str) or not host.flags.has(section, own, draft.version):
                continue
            if offered is None and (key == "reasoning_parser" or not draft.entry.sources):
                # Its own rule tells of a model that does not think; of a model that no entry is about nothing is known.
                continue
            said = f"says {offered}" if offered is not None else "names none"
            what = f"vllm_args.{key} is {shown(own)}, and the catalogue's entry {draft.entry.name} {said}"
            yield PlanWarning(host.name, draft.label, f"{what}: a parser of another model loses calls or thoughts without an error; leave {key} out")
