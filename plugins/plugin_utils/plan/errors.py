# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings of the plan: errors stop it, warnings do not. Neither contains secrets."""

from __future__ import annotations

import difflib
import json
import re

from dataclasses import asdict, dataclass, fields
from typing import Any, Iterable, Mapping, Sequence

from ansible_collections.inferops.gpu.plugins.module_utils._masking import has_credentials, has_token, is_secret_name, masked

HIDDEN = "(hidden)"

_SECRET_TEXT = re.compile(r"(?:key|token|secret|passw|credential)\w*['\"]?\s*[:=]|://[^/\s]*:[^/\s]*@|\bsk-", re.IGNORECASE)
_SHOWN_LENGTH = 120

# Similarity from 0 to 1 that a name needs to be suggested, and how much less similar than the best one it may be.
_NEAR = 0.55
_MUCH_LESS = 0.12


@dataclass(frozen=True)
class PlanError:
    """One error: its place, the value (or what may be shown of it), the reason and the fix.

    All fields are text on one line, whatever the inventory contains. C(check) is the name by which a user may accept the error, else empty.
    """

    host: str
    service: str
    key: str
    value: str
    why: str
    fix: str
    check: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, masked(one_line(getattr(self, field.name))))

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class PlanWarning:
    """A warning, which does not stop the plan. C(check) is as in an error."""

    host: str
    service: str
    text: str
    check: str = ""


class InvalidValue(ValueError):
    """An invalid value: C(why), and what to write instead in C(fix)."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix


def shown(value: Any, name: Any = "") -> str:
    """A value for an error message: short, on one line and without secrets."""
    if is_secret_name(name) and value is not None:
        return HIDDEN
    text = one_line(value if isinstance(value, str) else _as_json(_masked(value)))
    if isinstance(value, str) and _is_secret(value):
        return HIDDEN
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"


def _is_secret(text: str) -> bool:
    """Whether text seems to contain a secret, so that none of it is shown."""
    return _SECRET_TEXT.search(text) is not None or has_credentials(text) or has_token(text)


def one_line(text: str) -> str:
    """Text with all control characters replaced."""
    return text if text.isprintable() else "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): HIDDEN if is_secret_name(key) else _masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    return HIDDEN if isinstance(value, str) and _is_secret(value) else value


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        return type(value).__name__


def kind(value: Any) -> str:
    """The type of a value as a YAML user knows it."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number with a fraction"
    if isinstance(value, Mapping):
        return "a dictionary"
    if isinstance(value, (list, tuple)):
        return "a list"
    return type(value).__name__


def nearest(word: Any, choices: Iterable[str], limit: int = 3) -> list[str]:
    """The choices most similar to the word, best first; empty when none is similar. Choices much less similar than the best are left out."""
    text = str(word).lower()
    by_lower = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(text, by_lower, n=limit, cutoff=_NEAR)
    likeness = [difflib.SequenceMatcher(None, choice, text).ratio() for choice in found]
    return [by_lower[choice] for choice, ratio in zip(found, likeness) if ratio >= likeness[0] - _MUCH_LESS]


def did_you_mean(word: Any, choices: Iterable[str], otherwise: str) -> str:
    """A sentence that suggests the most similar names, or the other sentence when none is similar."""
    found = nearest(word, choices)
    return f"did you mean {' or '.join(found)}?" if found else otherwise


def render_errors(errors: Sequence[PlanError]) -> str:
    """All errors as text, one numbered block each. The same error on several hosts is one block with these hosts."""
    merged: dict[tuple[str, ...], list[str]] = {}
    for error in errors:
        merged.setdefault((error.service, error.key, error.value, error.why, error.fix), []).append(error.host)
    count = len(merged)
    lines = [f"{count} error{'' if count == 1 else 's'} in the plan; nothing was changed."]
    for number, ((service, key, value, why, fix), hosts) in enumerate(merged.items(), start=1):
        where = [("host", _names(hosts)), ("service", service), ("key", key), ("value", value), ("why", why), ("fix", fix)]
        lines += ["", f"error {number}"]
        lines += [f"  {label + ':':<9}{text}" for label, text in where if text]
    return "\n".join(lines)


def render_warnings(warnings: Iterable[PlanWarning]) -> list[str]:
    """Warnings as sentences. The same warning on several hosts is one sentence with these hosts."""
    merged: dict[tuple[str, str], list[str]] = {}
    for warning in warnings:
        merged.setdefault((warning.service, warning.text), []).append(warning.host)
    return [masked(one_line(f"{_names(hosts)}{' / ' + service if service else ''}: {text}")) for (service, text), hosts in merged.items()]


def _names(hosts: Sequence[str]) -> str:
    unique = list(dict.fromkeys(hosts))
    few = 4
    return ", ".join(unique) if len(unique) <= few else f"{', '.join(unique[:few])} and {len(unique) - few} more"
