# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model catalogue: entries of the collection with the user's own over them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping

from . import environments, values
from .faults import Bad, Fault, did_you_mean, kind, shown
from .versions import Version

DEFAULT_REVISION = "main"


@dataclass(frozen=True)
class Entry:
    """A model: where its weights are, how vLLM serves it, and what the checks need to know about it.

    C(bytes) is the size of the download, C(thinking) one of never, always, hybrid or empty when unknown, C(unsupported) the reason why
    the model cannot be served, or empty.
    """

    name: str
    repo: str
    revision: str = DEFAULT_REVISION
    bytes: int | None = None
    min_vllm: Version | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str | None] = field(default_factory=dict)
    architecture: dict[str, Any] = field(default_factory=dict)
    thinking: str = ""
    unsupported: str = ""
    sources: dict[str, Any] = field(default_factory=dict)
    notes: str = ""


def _thinking(value: Any) -> str:
    if value not in ("never", "always", "hybrid"):
        raise Bad("this is not a way of thinking that the plan knows", "write never, always or hybrid")
    return str(value)


def _prose(value: Any) -> str:
    if not isinstance(value, str):
        raise Bad(f"this is {kind(value)} where text belongs", "write it as text")
    return value


_READERS: dict[str, values.Reader] = {
    "repo": values.repo,
    "revision": values.revision,
    "bytes": values.whole(1, 10**15),
    "min_vllm": values.version,
    "arguments": values.mapping,
    "environment": values.mapping,
    "architecture": values.mapping,
    "thinking": _thinking,
    "unsupported": _prose,
    "sources": values.mapping,
    "notes": _prose,
}


@dataclass(frozen=True)
class Catalogue:
    """Entries by name."""

    entries: Mapping[str, Entry]

    def find(self, model: str) -> Entry | None:
        """The entry of this name or of this repository; for another repository id an entry that says no more than that; else None."""
        found = self.entries.get(model)
        if found is None and values.REPO.fullmatch(model):
            same_repo = (entry for entry in self.entries.values() if entry.repo == model)
            found = next(same_repo, None) or _bare(model)
        return found

    def with_own(self, host: str, own: Any) -> tuple[Catalogue, list[Fault]]:
        """This catalogue with a user's entries (plan_catalogue) over it, and what is wrong with them."""
        if not own and isinstance(own, Mapping):
            return self, []
        entries, faults = read_models(host, "plan_catalogue", own)
        return Catalogue({**self.entries, **entries}), faults


def built_in(families: Iterable[Mapping[str, Any]]) -> Catalogue:
    """The catalogue of the collection, from the contents of its files.

    :raises ValueError: when one of them is wrong, which is a fault of this collection
    """
    entries: dict[str, Entry] = {}
    for family in families:
        read, faults = read_models("", str(family.get("family", "")), family.get("models"))
        if faults or entries.keys() & read.keys():
            raise ValueError(f"the catalogue of {family.get('family')} is wrong: {faults or 'a name is taken'}")
        entries.update(read)
    return Catalogue(entries)


def read_models(host: str, key: str, models: Any) -> tuple[dict[str, Entry], list[Fault]]:
    """Entries by name from what YAML gave; what cannot be used is left out and a fault."""
    try:
        pairs = values.mapping(models)
    except Bad as bad:
        return {}, [Fault(host, "", key, shown(models), bad.why, bad.remedy)]
    entries = {}
    faults = []
    for name, raw in pairs.items():
        entry, bad_parts = _read_entry(host, f"{key}.{name}", name, raw)
        faults += bad_parts
        if entry is not None:
            entries[name] = entry
    return entries, faults


def _read_entry(host: str, key: str, name: str, raw: Any) -> tuple[Entry | None, list[Fault]]:
    try:
        parts = values.mapping(raw)
    except Bad as bad:
        return None, [Fault(host, "", key, shown(raw), bad.why, bad.remedy)]
    faults = []
    found: dict[str, Any] = {}
    for part, value in parts.items():
        if part not in _READERS:
            remedy = did_you_mean(part, _READERS, f"an entry has {', '.join(_READERS)}")
            faults.append(Fault(host, "", f"{key}.{part}", shown(value, part), "a catalogue entry has no such key", remedy))
        elif value is not None:
            try:
                found[part] = _READERS[part](value)
            except Bad as bad:
                faults.append(Fault(host, "", f"{key}.{part}", shown(value, part), bad.why, bad.remedy))
    if "environment" in found:
        found["environment"], bad_variables = environments.read(host, "", f"{key}.environment", found["environment"])
        faults += bad_variables
    if "repo" not in found:
        if "repo" not in parts:
            faults.append(Fault(host, "", f"{key}.repo", "", "the entry does not say which repository it means", "add repo: <organisation>/<name>"))
        return None, faults
    return Entry(name=name, **found), faults


def _bare(repo: str) -> Entry | None:
    try:
        return Entry(name=repo, repo=values.repo(repo))
    except Bad:
        return None
