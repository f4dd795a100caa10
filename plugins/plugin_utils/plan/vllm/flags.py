# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags, parser names, environment variables and classes of models of each vLLM version, from C(vllm_flags.json)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Mapping, Sequence

from ..errors import nearest
from ..versions import Version, parse

Section = Literal["flags", "tool_call_parsers", "reasoning_parsers", "environment", "models"]
_SECTIONS: tuple[Section, ...] = ("flags", "tool_call_parsers", "reasoning_parsers", "environment", "models")
State = Literal["known", "not yet", "gone", "unknown"]


@dataclass(frozen=True)
class Answer:
    """Whether a version knows a name. C(since): first version that has it (V(not yet)) or that no longer has it (V(gone))."""

    state: State
    since: str = ""


class FlagTable:
    """The versions in which each name exists. A version that is not listed uses the nearest lower one."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._versions = [_must_parse(text) for text in data["versions"]]
        self._basis: dict[Version, Version] = {}
        self._spans = {section: {name: _read_span(span) for name, span in data[section].items()} for section in _SECTIONS}

    @property
    def keys(self) -> frozenset[str]:
        """The vllm_args keys of every flag that some version has."""
        return frozenset(flag_key(name) for name in self._spans["flags"] if name.startswith("--"))

    def covers(self, version: Version) -> bool:
        """Whether the table lists this exact version; otherwise its answers are estimates."""
        return version in self._versions

    def basis(self, version: Version) -> Version:
        """The listed version for this one: itself, the nearest lower, or the oldest."""
        # Cached, since each argument of a thousand services queries the same few versions.
        if version not in self._basis:
            lower = [listed for listed in self._versions if listed <= version]
            self._basis[version] = lower[-1] if lower else self._versions[0]
        return self._basis[version]

    def ask(self, section: Section, name: str, version: Version) -> Answer:
        """Whether the version knows the name, spelt as vLLM spells it (flags with their dashes)."""
        span = self._spans[section].get(name)
        if span is None:
            return Answer("unknown")
        first, last, missing = span
        basis = self.basis(version)
        if basis < first:
            return Answer("not yet", first.text)
        if basis > last:
            return Answer("gone", self._after(last))
        if basis in missing:
            return Answer("gone", self._first_without(basis, missing))
        return Answer("known")

    def has(self, section: Section, name: str, version: Version) -> bool:
        return self.ask(section, name, version).state == "known"

    def nearest(self, section: Section, name: str, version: Version) -> list[str]:
        """Names of the version that are similar to this one, best first. Flags are vllm_args keys in snake_case."""
        known = [found for found in self._spans[section] if self.has(section, found, version)]
        if section == "flags":
            known = [flag_key(found) for found in known if found.startswith("--")]
        return nearest(name, known)

    def _first_without(self, basis: Version, missing: frozenset[Version]) -> str:
        """The first of the consecutive versions up to this one that lack a name."""
        found = basis
        for listed in reversed([listed for listed in self._versions if listed < basis]):
            if listed not in missing:
                break
            found = listed
        return found.text

    def _after(self, last: Version) -> str:
        later = [listed for listed in self._versions if listed > last]
        return later[0].text if later else ""


def flag(key: str) -> str:
    """The flag of a vllm_args key: max_model_len becomes --max-model-len. What follows a dot names a member and stays as it is."""
    head, dot, member = key.partition(".")
    return "--" + head.replace("_", "-") + dot + member


def flag_key(name: str) -> str:
    """The vllm_args key of a flag: the inverse of C(flag)."""
    return name[2:].replace("-", "_")


def _read_span(span: Sequence[Any]) -> tuple[Version, Version, frozenset[Version]]:
    """First and last version with a name, and the versions between them without it."""
    first, last, *missing = span
    return _must_parse(first), _must_parse(last), frozenset(_must_parse(text) for texts in missing for text in texts)


def _must_parse(text: str) -> Version:
    version = parse(text)
    if version is None:
        raise ValueError(f"{text!r} in the table of vLLM flags is not a version")
    return version
