# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model catalogue: entries of the collection, and entries of the user that replace them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping

from .. import sections, values
from ..errors import InvalidValue, PlanError, shown
from ..models import architecture, tasks, variants
from ..models.architecture import Architecture
from ..models.variants import Preset, Profile
from ..versions import Version, parse
from ..vllm import environments

DEFAULT_REVISION = "main"


@dataclass(frozen=True)
class License:
    """License of a model; C(gated) when the Hub serves it only to accounts that accepted the license."""

    name: str = ""
    gated: bool = False
    url: str = ""


@dataclass(frozen=True)
class Entry:
    """A model: its repository, its arguments for vLLM, and the facts for the checks. Empty text means none or unknown.

    - C(arguments_before): by version, arguments that override C(arguments) before that version
    - C(bytes): size of the download
    - C(exclude): patterns of files in the repository that serving does not need
    - C(thinking): never, always or hybrid
    - C(thinking_switch): argument of the chat template that turns a hybrid's reasoning off when it is false
    - C(task): see C(tasks)
    - C(unsupported): why the model cannot be served
    - C(remote_code): code of its repository that serving runs, such as a tokenizer
    - C(quantised_sibling): entry of the same model in a smaller type
    - C(missing): of a model without an entry, why it is not available
    - C(unread): of a model without an entry, why too little is known about it
    - C(code_from): repository whose code its configuration needs
    - C(template): of a model without an entry, its chat template
    - C(no_file): of a model without an entry, why its repository does not have the service's GGUF file
    """

    name: str
    repo: str
    revision: str = DEFAULT_REVISION
    bytes: int | None = None
    exclude: tuple[str, ...] = ()
    license: License = License()
    min_vllm: Version | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    arguments_before: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str | None] = field(default_factory=dict)
    architecture: Architecture = Architecture()
    thinking: str = ""
    thinking_switch: str = ""
    task: str = ""
    unsupported: str = ""
    remote_code: str = ""
    quantised_sibling: str = ""
    profiles: dict[str, Profile] = field(default_factory=dict)
    presets: dict[str, Preset] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)
    notes: str = ""
    missing: str = ""
    unread: str = ""
    code_from: str = ""
    template: str = ""
    no_file: str = ""

    def arguments_of(self, version: Version) -> dict[str, Any]:
        """The entry's arguments for a version: C(arguments), overridden by those in C(arguments_before), the oldest last."""
        found = dict(self.arguments)
        before = sorted(((parse(text), arguments) for text, arguments in self.arguments_before.items()), key=lambda pair: pair[0], reverse=True)
        for bound, arguments in before:
            if bound is not None and version < bound:
                found.update(arguments)
        return found


def _thinking(value: Any) -> str:
    if value not in ("never", "always", "hybrid"):
        raise InvalidValue("this is none of the known kinds of reasoning", "write never, always or hybrid")
    return str(value)


def _arguments_before(value: Any) -> dict[str, Any]:
    """Arguments by the version before which they override the entry's arguments."""
    pairs = values.mapping(value)
    for version, arguments in pairs.items():
        if parse(version) is None:
            raise InvalidValue(f"{shown(version)} is not a version", "write the version before which the arguments apply, and under it the arguments")
        values.mapping(arguments)
    return pairs


_READERS: dict[str, values.Reader] = {
    "repo": values.repo,
    "revision": values.revision,
    "bytes": values.integer(1, 10**15),
    "exclude": values.strings,
    "license": values.mapping,
    "min_vllm": values.version,
    "arguments": values.mapping,
    "arguments_before": _arguments_before,
    "environment": values.mapping,
    "architecture": values.mapping,
    "thinking": _thinking,
    "thinking_switch": values.word,
    "task": tasks.read,
    "unsupported": sections.prose,
    "remote_code": sections.prose,
    "quantised_sibling": values.word,
    "profiles": values.mapping,
    "presets": values.mapping,
    "sources": values.mapping,
    "notes": sections.prose,
}
KEYS: tuple[str, ...] = tuple(_READERS)
_LICENSE: dict[str, values.Reader] = {"name": values.string, "gated": values.boolean, "url": values.string}


def _license(host: str, key: str, raw: Any) -> tuple[License, list[PlanError]]:
    found, errors = sections.read(host, key, raw, _LICENSE, "a license")
    return License(**found), errors


# Keys with nested dictionaries, which are read into types.
_INNER: dict[str, Callable[[str, str, Any], tuple[Any, list[PlanError]]]] = {
    "architecture": architecture.read,
    "environment": lambda host, key, raw: environments.read(host, "", key, raw),
    "license": _license,
    "presets": variants.read_presets,
    "profiles": variants.read_profiles,
}


@dataclass(frozen=True)
class Catalogue:
    """Entries by name."""

    entries: Mapping[str, Entry]

    def find(self, model: str) -> Entry | None:
        """The entry with this name or repository; for another repository id an entry with the repository only; else None."""
        found = self.entries.get(model)
        if found is None and values.REPO.fullmatch(model):
            same_repo = (entry for entry in self.entries.values() if entry.repo == model)
            found = next(same_repo, None) or _bare(model)
        return found

    def with_own(self, host: str, own: Any) -> tuple[Catalogue, list[PlanError]]:
        """This catalogue with a user's entries (plan_catalogue) added, and the errors in them."""
        if not own and isinstance(own, Mapping):
            return self, []
        entries, errors = read_models(host, "plan_catalogue", own)
        return Catalogue({**self.entries, **entries}), errors


def built_in(families: Iterable[Mapping[str, Any]]) -> Catalogue:
    """The catalogue of the collection, from the contents of its files.

    :raises ValueError: when an entry is invalid, which is a bug of this collection
    """
    entries: dict[str, Entry] = {}
    for family in families:
        read, errors = read_models("", str(family.get("family", "")), family.get("models"))
        if errors or entries.keys() & read.keys():
            raise ValueError(f"the catalogue file of {family.get('family')} is invalid: {errors or 'duplicate name'}")
        entries.update(read)
    return Catalogue(entries)


def read_models(host: str, key: str, models: Any) -> tuple[dict[str, Entry], list[PlanError]]:
    """Entries by name from YAML. Invalid entries are errors and left out."""
    try:
        pairs = values.mapping(models)
    except InvalidValue as bad:
        return {}, [PlanError(host, "", key, shown(models), bad.why, bad.fix)]
    entries = {}
    errors = []
    for name, raw in pairs.items():
        entry, bad_parts = _read_entry(host, f"{key}.{name}", name, raw)
        errors += bad_parts
        if entry is not None:
            entries[name] = entry
    return entries, errors


def _read_entry(host: str, key: str, name: str, raw: Any) -> tuple[Entry | None, list[PlanError]]:
    found, errors = sections.read(host, key, raw, _READERS, "a catalogue entry")
    for part, reader in _INNER.items():
        if part in found:
            found[part], wrong = reader(host, f"{key}.{part}", found[part])
            errors += wrong
    if "repo" not in found:
        if isinstance(raw, Mapping) and "repo" not in raw:
            errors.append(PlanError(host, "", f"{key}.repo", "", "the entry has no repository", "add repo: <organisation>/<name>"))
        return None, errors
    return Entry(name=name, **found), errors


def _bare(repo: str) -> Entry | None:
    try:
        return Entry(name=repo, repo=values.repo(repo))
    except InvalidValue:
        return None
