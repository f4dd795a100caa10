# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Value types of the flags of C(vllm serve), from C(vllm_types.json), and the validation of values as in vLLM's own parser."""

from __future__ import annotations

import json
import math
import re

from dataclasses import dataclass, field
from typing import Any, Literal, Mapping

from ..errors import InvalidValue, did_you_mean, kind as kind_of, nearest
from ..versions import Version, parse
from .flags import flag, flag_key

Kind = Literal["switch", "on", "text", "whole", "number", "count", "count_or_auto", "json", "json_or_text"]

_WHOLE = re.compile(r"[+-]?\d{1,18}")
_COUNT = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)([kKmMgGtT])")
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

_NAMES: dict[str, str] = {
    "whole": "a whole number",
    "number": "a number",
    "count": "a whole number, or one like 8k (8000) or 8K (8192)",
    "count_or_auto": "a whole number, one like 32k (32000) or 32K (32768), or auto",
    "json": "a dictionary, or JSON in quotes",
}


_JSON_NAMES: dict[str, str] = {
    "switch": "true or false",
    "whole": "a whole number",
    "number": "a number",
    "text": "text",
    "list": "a list",
    "dictionary": "a dictionary",
    "null": "null",
}


@dataclass(frozen=True)
class Member:
    """The type of a key of a JSON flag: values of some JSON C(kinds) (see C(_JSON_NAMES)), or a choice.

    The contents of lists and dictionaries are unknown. C(folds): case-insensitive. C(bounds) are as in a flag.
    """

    kinds: frozenset[str]
    choices: tuple[Any, ...] = ()
    folds: bool = False
    bounds: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class FlagType:
    """The type of one flag. C(switch) has a --no- form and C(on) has none; a C(count) may have a suffix such as k or K.

    - C(many): several values
    - C(bare): the value may be left out
    - C(none): also takes None
    - C(folds): case-insensitive, with dashes equal to underscores
    - C(object): the JSON has to be a dictionary
    - C(members): the keys of a dictionary with a fixed set of keys, else empty
    - C(bounds): pairs of gt, ge, lt or le and a number
    - C(names): names that a text flag takes, empty when unknown
    - C(open): plugins may register more names
    - C(member_names): names for members of a dictionary
    """

    kind: Kind
    many: bool = False
    bare: bool = False
    none: bool = False
    folds: bool = False
    object: bool = False
    choices: tuple[Any, ...] = ()
    members: Mapping[str, Member] = field(default_factory=dict)
    bounds: tuple[tuple[str, float], ...] = ()
    names: tuple[str, ...] = ()
    open: bool = False
    member_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class TypeTable:
    """Flag types of the versions in the table. Values of other versions are not checked."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._versions = {text: {name: _read(raw) for name, raw in flags.items()} for text, flags in data["versions"].items()}
        self._spellings = {text: _spellings(flags) for text, flags in data["versions"].items()}
        self._order = sorted(((version, text) for text in data["versions"] if (version := parse(text)) is not None), key=lambda pair: pair[0])

    @property
    def versions(self) -> list[str]:
        """The versions in the table, oldest first."""
        return [text for _version, text in self._order]

    def covers(self, version: Version) -> bool:
        """Whether values of this version are checked."""
        return version.public in self._versions

    def of(self, key: str, version: Version) -> FlagType | None:
        """The type of a vllm_args key in exactly this version; None when unknown."""
        name, opposite = self.spelling(key, version)
        # An inverse spelling has no --no- form.
        return FlagType("on") if opposite else self._versions.get(version.public, {}).get(flag(name.partition(".")[0]))

    def spelling(self, key: str, version: Version) -> tuple[str, bool]:
        """The vllm_args key of the flag with this spelling (usually the key itself), and whether the spelling is the inverse of the flag.

        A version that is not in the table uses the nearest lower one, else the oldest.
        """
        lower = [text for listed, text in self._order if listed <= version]
        known = self._spellings[lower[-1] if lower else self._order[0][1]] if self._order else {}
        head, dot, member = key.partition(".")
        name, opposite = known.get(head, (head, False))
        return name + dot + member, opposite


def check(key: str, value: Any, takes: FlagType) -> None:
    """Validate the value of a vllm_args key in the form that it will have on the command line.

    :raises InvalidValue: when vLLM would refuse it
    """
    head, dot, member = key.partition(".")
    if dot:
        if takes.kind not in ("json", "json_or_text"):
            raise InvalidValue(f"{flag(head)} does not take a dictionary with members", f"write it as {head}: ...")
        first, deeper, _rest = member.partition(".")
        _check_members({first: {} if deeper else value}, takes)
        return
    if value is True or value is False:
        _check_boolean(head, value, takes)
    elif takes.kind in ("switch", "on"):
        raise InvalidValue(f"{flag(head)} is a switch and takes no value", "write true or false, without quotes")
    elif isinstance(value, (list, tuple)):
        # A list of one text is the same as the text. Numbers may not be in a list, since other checks compute with them.
        if not takes.many and (len(value) != 1 or takes.kind != "text"):
            fix = f"write it as JSON in quotes: '{json.dumps(list(value), default=str)}'" if takes.kind == "json" else "write one value, without brackets"
            raise InvalidValue(f"{flag(head)} takes one value, and this is a list", fix)
        for item in value:
            _check_one(head, item, takes)
    else:
        _check_one(head, value, takes)


def count(value: Any) -> int | None:
    """A number of tokens, bytes or requests as vLLM reads it: 32768, "32k" (32000), "32K" (32768), "25.6k"; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    text = str(value).strip()
    if len(text) <= 19 and text.isascii() and _WHOLE.fullmatch(text):
        return int(text)
    match = _COUNT.fullmatch(text) if text.isascii() else None
    if match is None:
        return None
    number, suffix = match.groups()
    if suffix in _DECIMAL:
        return int(float(number) * _DECIMAL[suffix])
    return int(number) * _BINARY[suffix] if "." not in number else None


def _check_boolean(head: str, value: bool, takes: FlagType) -> None:
    if takes.kind == "switch" or (takes.kind == "on" and value) or (takes.bare and value):
        return
    if takes.kind == "on":
        raise InvalidValue(f"vLLM has no --no-{flag(head)[2:]}", f"remove {head}: it is off by default")
    raise InvalidValue(f"{flag(head)} needs a value, and this is {kind_of(value)}", f"write {_NAMES.get(takes.kind, 'its value')}, or null to remove it")


def _check_one(head: str, value: Any, takes: FlagType) -> None:
    if isinstance(value, Mapping):
        if takes.kind not in ("json", "json_or_text"):
            raise InvalidValue(f"{flag(head)} does not take a dictionary", f"write {_NAMES.get(takes.kind, 'text')}")
        _check_members(value, takes)
        return
    text = repr(value) if isinstance(value, float) else str(value)
    if takes.none and text in ("None", ""):
        return
    if takes.kind in ("json", "json_or_text"):
        _check_json(text, takes)
        return
    number = _number(text, takes.kind)
    if number is None and takes.kind != "text":
        raise InvalidValue(f"{flag(head)} takes {_NAMES[takes.kind]}", f"write {_NAMES[takes.kind]}")
    if takes.choices:
        _check_choice(head, text if number is None else number, takes)
    if number is not None and number != -1:
        _check_bounds(flag(head), number, takes.bounds)


def _number(text: str, kind: str) -> float | None:
    """The number in the text; None when it is not a number of this kind."""
    if kind == "whole":
        return int(text) if _WHOLE.fullmatch(text.strip()) and text.isascii() else None
    if kind == "number":
        try:
            read = float(text)
        except ValueError:
            return None
        return read if math.isfinite(read) else None
    if kind in ("count", "count_or_auto"):
        return -1 if kind == "count_or_auto" and text.strip().lower() == "auto" else count(text)
    return None


def _check_choice(head: str, value: Any, takes: FlagType) -> None:
    folded = value.lower().replace("-", "_") if takes.folds and isinstance(value, str) else value
    if folded in takes.choices:
        return
    names = [str(choice) for choice in takes.choices]
    near = nearest(folded, names) if isinstance(folded, str) else []
    raise InvalidValue(f"{flag(head)} has no such choice", f"did you mean {' or '.join(near)}?" if near else f"choose among {', '.join(names)}")


def _check_bounds(what: str, number: float, bounds: tuple[tuple[str, float], ...]) -> None:
    for relation, bound in bounds:
        fits, text = {
            "gt": (number > bound, f"more than {bound:g}"),
            "ge": (number >= bound, f"{bound:g} or more"),
            "lt": (number < bound, f"less than {bound:g}"),
            "le": (number <= bound, f"{bound:g} or less"),
        }[relation]
        if not fits:
            raise InvalidValue(f"{what} must be {text}", f"write {text}")


def _check_json(text: str, takes: FlagType) -> None:
    looks_like_json = text.strip().startswith("{") and text.strip().endswith("}")
    if takes.kind == "json_or_text" and not looks_like_json:
        return
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidValue("this is not JSON", "write a dictionary in YAML, or JSON in quotes") from None
    if isinstance(read, dict):
        _check_members(read, takes)
    elif takes.object:
        raise InvalidValue(f"this is {kind_of(read)} where a dictionary belongs", "write a dictionary")


def _check_members(pairs: Mapping[Any, Any], takes: FlagType) -> None:
    if not takes.members:
        return
    for name, value in pairs.items():
        known = takes.members.get(str(name).replace("-", "_"))
        if known is None:
            raise InvalidValue(f"it has no member {name!s:.60}", did_you_mean(name, takes.members, f"its members are {', '.join(takes.members)}"))
        _check_member(str(name), value, known)


def _check_member(name: str, value: Any, takes: Member) -> None:
    """Validate a value in a dictionary. Text may stand for a number or a truth value."""
    if isinstance(value, str) and "text" not in takes.kinds and value not in takes.choices:
        value = _meant(value, takes)
    folded = value.upper() if takes.folds and isinstance(value, str) else value
    if isinstance(value, (str, int)) and not isinstance(value, bool) and (value in takes.choices or folded in takes.choices):
        return
    found = _json_kind(value)
    if found not in takes.kinds and not (found == "whole" and "number" in takes.kinds):
        if takes.choices and found in ("text", "whole"):
            near = nearest(value, [str(choice) for choice in takes.choices]) if isinstance(value, str) else []
            choices = ", ".join(str(choice) for choice in takes.choices)
            raise InvalidValue(f"its member {name} has no such choice", f"did you mean {' or '.join(near)}?" if near else f"choose among {choices}")
        known = [words for kind, words in _JSON_NAMES.items() if kind in takes.kinds] + [str(choice) for choice in takes.choices]
        raise InvalidValue(f"its member {name} is {kind_of(value)}", f"write {' or '.join(known)}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_bounds(f"its member {name}", value, takes.bounds)


def _meant(text: str, takes: Member) -> Any:
    """The value of a text where the type is not text, as vLLM reads it."""
    if "switch" in takes.kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if "whole" in takes.kinds or "number" in takes.kinds:
        number = _number(text, "whole" if _WHOLE.fullmatch(text) else "number")
        return text if number is None else number
    return text


def _json_kind(value: Any) -> str:
    for kind, types in (("null", type(None)), ("switch", bool), ("whole", int), ("number", float), ("text", str), ("list", (list, tuple))):
        if isinstance(value, types):
            return kind
    return "dictionary"


def _spellings(flags: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, bool]]:
    """Keys of vllm_args that are another spelling of a flag, with that flag's key and whether they are its inverse."""
    found = {}
    for name, raw in flags.items():
        for alias in raw.get("aliases", ()):
            found[flag_key(alias)] = (flag_key(name), False)
        for inverse in raw.get("inverses", ()):
            found[flag_key(inverse)] = (flag_key(name), True)
    return found


def _read(raw: Mapping[str, Any]) -> FlagType:
    return FlagType(
        kind=raw["kind"],
        many=raw.get("many", False),
        bare=raw.get("bare", False),
        none=raw.get("none", False),
        folds=raw.get("folds", False),
        object=raw.get("object", False),
        choices=tuple(raw.get("choices", ())),
        members={name: _read_member(member) for name, member in raw.get("members", {}).items()},
        bounds=_read_bounds(raw),
        names=tuple(raw.get("names", ())),
        open=raw.get("open", False),
        member_names={name: tuple(names) for name, names in raw.get("member_names", {}).items()},
    )


def _read_member(raw: Mapping[str, Any]) -> Member:
    return Member(frozenset(raw["kinds"]), tuple(raw.get("choices", ())), raw.get("folds", False), _read_bounds(raw))


def _read_bounds(raw: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    return tuple((relation, raw[relation]) for relation in ("gt", "ge", "lt", "le") if relation in raw)
