# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extra repositories: a draft model, adapters, a tokenizer or a configuration that vLLM's arguments name.

Services run offline, so the roles download and pin each of them like the model, and the argument names its directory instead. The arguments are
from vLLM 0.32.0: config/model.py, config/speculative.py, config/lora.py, entrypoints/openai/models/protocol.py.
"""

from __future__ import annotations

import json

from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping

from .. import values
from ..errors import InvalidValue
from ..inputs import uncatalogued
from ..inputs.services import ABSENT, PRESENT, Service
from ..inputs.settings import Settings
from .weights import Weights, weights_of

# Arguments for a repository from which vLLM reads no weights.
_SMALL = ("tokenizer", "hf_config_path", "generation_config")
# Arguments for a repository from which vLLM reads weights.
_WHOLE = ("spec_model", "speculative_config.model", "qlora_adapter_name_or_path")
_WORDS = {"generation_config": ("auto", "vllm")}
# Patterns of files that are neither part of a tokenizer nor of a configuration.
WEIGHTS = (
    "*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.ggml", "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.onnx_data", "*.tflite", "*.mlmodel",
    "original/*", "metal/*", "onnx/*", "openvino/*", "coreml/*",
)
DEFAULT_REVISION = "main"
# The beginning of the keys of adapters, which are no arguments.
ADAPTERS = "adapters."

_Visit = Callable[[str, str, bool, "str | None"], str]


@dataclass(frozen=True)
class Extra:
    """A repository that an argument names, and its weights on the host. C(missing) is why no endpoint has it, or empty.

    C(weights) are the model's own where it is the same repository. C(code_from) is the repository whose code its configuration needs, or empty.
    C(adapter) is its adapter_config.json, None when unknown.
    """

    key: str
    repo: str
    weights: Weights
    missing: str = ""
    code_from: str = ""
    adapter: Any = None

    @property
    def where(self) -> str:
        """The key of the service that names it, for messages."""
        return self.key if self.key.startswith(ADAPTERS) else f"vllm_args.{self.key}"

    def to_dict(self) -> dict[str, str]:
        """The repository for readers of the plan."""
        found = self.weights
        return {"argument": self.where, "repo": self.repo, "revision": found.revision, "weights": found.name, "path": found.path}


def is_repository(value: str) -> bool:
    """Whether this is a repository id."""
    try:
        values.repo(value)
    except InvalidValue:
        return False
    return True


def is_word(key: str, value: str) -> bool:
    """Whether the value is neither a repository nor a path: a keyword of vLLM, or a URL."""
    # A speculative method without a draft model has its name as the value.
    return value in _WORDS.get(key, ()) or "://" in value or (key not in _SMALL and "/" not in value)


def visit(arguments: Mapping[str, Any], look: _Visit) -> dict[str, Any]:
    """The arguments with each repository or path replaced by the result of C(look).

    :param look: gets the key, the value, whether vLLM reads only small files from it, and the revision from another argument
    """
    found = dict(arguments)
    for key in (*_SMALL, *_WHOLE):
        place = found.get(key)
        if isinstance(place, str) and place:
            found[key] = look(key, place, key in _SMALL, _beside(arguments, key))
    speculative = _mapping(found.get("speculative_config"))
    if speculative is not None and isinstance(speculative.get("model"), str) and speculative["model"]:
        place = look("speculative_config.model", speculative["model"], False, _text(speculative.get("revision")))
        if place != speculative["model"]:
            found["speculative_config"] = {**speculative, "model": place}
    modalities = _mapping(found.get("default_mm_loras"))
    if modalities is not None:
        places = {key: look(f"default_mm_loras.{key}", place, False, None) if isinstance(place, str) else place for key, place in modalities.items()}
        if places != modalities:
            found["default_mm_loras"] = places
    modules = found.get("lora_modules")
    if isinstance(modules, (list, tuple)):
        found["lora_modules"] = [_module(item, look) for item in modules]
    elif modules:
        found["lora_modules"] = _module(modules, look)
    return found


def _module(item: Any, look: _Visit) -> Any:
    """A module of lora_modules (name=path, JSON or a dictionary) with its path replaced."""
    if isinstance(item, str) and "=" in item and "," not in item:
        name, _equals, place = item.partition("=")
        return f"{name}={look(f'lora_modules.{name}', place, False, None)}"
    found = _mapping(item)
    if found is None or not isinstance(found.get("path"), str):
        return item
    place = look(f"lora_modules.{found.get('name')}", found["path"], False, None)
    return item if place == found["path"] else {**found, "path": place}


def _mapping(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return dict(value) if isinstance(value, Mapping) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _beside(arguments: Mapping[str, Any], key: str) -> str | None:
    """The revision that another argument sets."""
    other = {"tokenizer": "tokenizer_revision", "speculative_config.model": "speculative_config.revision"}.get(key, "")
    return _text(arguments.get(other))


def places(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str, bool, str | None]]:
    """All repositories and paths in arguments: key, value, whether vLLM reads only small files from it, and the revision from another argument."""
    found: list[tuple[str, str, bool, str | None]] = []

    def look(key: str, place: str, small: bool, revision: str | None) -> str:
        found.append((key, place, small, revision))
        return place

    visit(arguments, look)
    yield from found


def revision_of(service: Service, repo: str, beside: str | None) -> str:
    """The revision of a repository: from the service's extra_repositories, else from another argument."""
    if repo in service.extra_repositories:
        return service.extra_repositories[repo]
    try:
        return values.revision(beside) if beside is not None else DEFAULT_REVISION
    except InvalidValue:
        return DEFAULT_REVISION


def bring(
    arguments: Mapping[str, Any], service: Service, settings: Settings, own: Weights | None, answers: uncatalogued.Answers
) -> tuple[dict[str, Any], dict[str, str], tuple[Extra, ...]]:
    """The arguments with directories of the host instead of repositories, the directories of the service's adapters by name, and the repositories to
    download.
    """
    extras: list[Extra] = []

    def look(key: str, place: str, small: bool, beside: str | None) -> str:
        if is_word(key, place) or not is_repository(place):
            return place
        pinned = place in service.extra_repositories or beside is not None
        # An adapter's own revision counts before that of its repository, which may have several adapters.
        revision = beside if beside is not None and key.startswith(ADAPTERS) else revision_of(service, place, beside)
        if own is not None and place == own.repo and (not pinned or revision == own.revision):
            extras.append(Extra(key, place, own))
            return own.path
        answer = answers.get(uncatalogued.question_of(place, revision, settings))
        files = answer.files or () if answer is not None else ()
        exclude = WEIGHTS if small else ()
        size = sum(count for _path, count in uncatalogued.wanted(files, (*settings.weights_exclude, *exclude), () if small else settings.weights_include))
        found = weights_of(settings, place, revision, size or None, exclude, extra=True, small=small)
        missing, code, adapter = (answer.missing, uncatalogued.code_from(answer.config), answer.adapter) if answer is not None else ("", "", None)
        extras.append(Extra(key, place, found, missing, code, adapter))
        return found.path

    placed = visit(arguments, look)
    folders = {
        adapter.name: "/".join(part for part in (look(adapter.key, adapter.repo, False, adapter.revision), adapter.subfolder) if part)
        for adapter in service.adapters or ()
    }
    return placed, folders, tuple(extras)


def questions(raw_services: Any, settings: Settings) -> list[uncatalogued.Question]:
    """The queries about the repositories in a host's services, as the user wrote them. Other code reports their errors."""
    if not settings.plan_lookup or settings.weights_offline:
        return []
    found = []
    for raw in raw_services if isinstance(raw_services, (list, tuple)) else ():
        for key, place, _small, beside in _written(raw):
            if is_word(key, place) or not is_repository(place) or place == raw.get("model"):
                continue
            pinned = raw.get("extra_repositories")
            revision = pinned.get(place, beside) if isinstance(pinned, Mapping) else beside
            revision = beside if beside is not None and key.startswith(ADAPTERS) else revision
            try:
                found.append(uncatalogued.question_of(place, DEFAULT_REVISION if revision is None else values.revision(revision), settings))
            except InvalidValue:
                continue
    return found


def are_named(raw_services: Any) -> bool:
    """Whether a service names any repository or path."""
    return any(True for raw in (raw_services if isinstance(raw_services, (list, tuple)) else ()) for _place in _written(raw))


def _written(raw: Any) -> Iterator[tuple[str, str, bool, str | None]]:
    """The repositories and paths in the arguments of a service, as the user wrote it."""
    if not isinstance(raw, Mapping) or raw.get("state", PRESENT) == ABSENT:
        return
    if isinstance(raw.get("vllm_args"), Mapping):
        yield from places(raw["vllm_args"])
    adapters = raw.get("adapters")
    for name, item in adapters.items() if isinstance(adapters, Mapping) else ():
        if isinstance(item, Mapping) and isinstance(item.get("repo"), str):
            yield f"{ADAPTERS}{name}", item["repo"], False, _text(item.get("revision"))
