# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models without an architecture in the catalogue: the queries to endpoints about them, and what follows from the answers.

This module sends no queries: the action plugin does (C(plugin_utils/model_lookup)) and passes the answers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Iterable, Mapping, Sequence

from ansible_collections.inferops.gpu.plugins.module_utils import _hub_selection

from .. import values
from ..errors import InvalidValue, one_line
from ..models import architecture, model_config, tasks
from . import gguf, services
from .catalogue import Catalogue, Entry
from .services import Service
from .settings import Settings


@dataclass(frozen=True)
class Question:
    """A repository at a revision, and the endpoints to query, in this order. Only C(token_endpoints) get the token."""

    repo: str
    revision: str
    endpoints: tuple[str, ...]
    token_endpoints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Metadata from the first endpoint that has the repository.

    C(files) are path and bytes of all its files and C(config) the contents of its config.json, None when unknown. C(template) is its chat template,
    empty without one or when unknown. C(adapter) is its adapter_config.json, None where it is no adapter, or unknown.
    C(missing) is why no endpoint has it, and C(problem) why too little is known, when an endpoint did not answer.
    """

    files: tuple[tuple[str, int], ...] | None = None
    config: Any = None
    template: str = ""
    missing: str = ""
    problem: str = ""
    adapter: Any = None


Answers = Mapping[Question, Answer]

# Defaults of transformers for keys that a config.json leaves out, by model_type.
Defaults = Mapping[str, Mapping[str, Any]]


def is_unknown(model: Any, catalogue: Catalogue) -> bool:
    """Whether the plan needs metadata from endpoints for this model: the catalogue has no entry, or an entry without an architecture."""
    if not isinstance(model, str):
        return False
    entry = catalogue.find(model)
    return entry is not None and _is_unread(entry)


def _is_unread(entry: Entry) -> bool:
    """Whether the entry lacks the facts for the memory estimate. All entries of the collection have them."""
    return not entry.architecture.num_layers and not entry.unsupported


def question_of(repo: str, revision: str, settings: Settings) -> Question:
    """The query about a repository for a host with these settings."""
    return Question(repo, revision, settings.weights_endpoints, settings.weights_token_endpoints)


def questions(raw_services: Any, settings: Settings, catalogue: Catalogue) -> list[Question]:
    """The queries about the services of a host, as the user wrote them. Other code reports their errors."""
    if not settings.plan_lookup or settings.weights_offline or not isinstance(raw_services, (list, tuple)):
        return []
    found = []
    for raw in raw_services:
        if not isinstance(raw, Mapping) or raw.get("state", services.PRESENT) == services.ABSENT or not is_unknown(raw.get("model"), catalogue):
            continue
        if raw.get("weights_path") is not None:
            # Its weights are on the host, so no endpoint is queried.
            continue
        entry = catalogue.find(raw["model"])
        try:
            revision = values.revision(raw["revision"]) if raw.get("revision") is not None else entry.revision
        except InvalidValue:
            continue
        found.append(question_of(entry.repo, revision, settings))
    return found


def complete(entry: Entry, service: Service, settings: Settings, answers: Answers, defaults: Defaults) -> Entry:
    """The entry with metadata from endpoints, where they were queried. Facts in an entry of the user take precedence."""
    revision = service.revision or entry.revision
    answer = answers.get(question_of(entry.repo, revision, settings))
    if answer is None or not _is_unread(entry):
        return entry
    include = (gguf.pattern(service.gguf_file),) if service.gguf_file else settings.weights_include
    files = wanted(answer.files or (), (*settings.weights_exclude, *entry.exclude), include)
    config, unread = answer.config, answer.problem
    if service.gguf_file:
        # A repository of GGUF files may have no configuration, and vLLM reads that of the tokenizer's repository.
        config, unread = _config_beside(service, settings, answers)
    model, problem = read_config(config, files, defaults) if config is not None else (architecture.Architecture(), "")
    stated = {part.name: getattr(entry.architecture, part.name) for part in fields(architecture.Architecture)}
    model = replace(model, **{name: value for name, value in stated.items() if value is not None and value != ""})
    return replace(
        entry,
        revision=revision,
        bytes=entry.bytes or sum(size for _path, size in files) or None,
        architecture=model,
        task=entry.task or tasks.of_files(config, [path for path, _size in answer.files or ()]),
        missing=answer.missing,
        unread=unread or problem,
        code_from=code_from(config),
        template=answer.template,
        no_file=gguf.is_missing(service.gguf_file, [path for path, _size in answer.files]) if service.gguf_file and answer.files is not None else "",
    )


def _config_beside(service: Service, settings: Settings, answers: Answers) -> tuple[Any, str]:
    """The config.json that vLLM reads for a GGUF file (C(hf_config_path), else C(tokenizer)), and why it is unknown, or empty."""
    for key, beside in (("hf_config_path", None), ("tokenizer", service.vllm_args.get("tokenizer_revision"))):
        repo = service.vllm_args.get(key)
        if isinstance(repo, str) and repo:
            revision = service.extra_repositories.get(repo, beside if isinstance(beside, str) and beside else "main")
            found = answers.get(question_of(repo, revision, settings))
            return (found.config, found.problem) if found is not None else (None, "")
    return None, ""


def wanted(files: Iterable[tuple[str, int]], exclude: Sequence[str], include: Sequence[str] = ()) -> list[tuple[str, int]]:
    """The files that a download fetches."""
    sizes = dict(files)
    return [(path, sizes[path]) for path in _hub_selection.select(list(sizes), exclude, include)]


# Model types with a configuration class in vLLM 0.32.0 itself, which it uses instead of the repository's (transformers_utils/config.py,
# _CONFIG_REGISTRY).
_OWN_CONFIGS = frozenset({
    "RefinedWeb", "RefinedWebModel", "bagel", "bailing_moe_v3_vl", "chatglm", "colpali", "colqwen3", "cosmos3_edge", "deepseek_v32", "deepseek_v4",
    "deepseek_v41", "deepseek_vl_v2", "dots3_note", "eagle", "funaudiochat", "hy_v4", "hyperclovax", "inkling_mm_model", "inkling_model", "isaac",
    "k3_dspark", "kimi_k2", "kimi_k25", "kimi_k3", "kimi_linear", "kimi_vl", "medusa", "midashenglm", "minimax_m3_mtp", "minimax_m3_vl", "mlp_speculator",
    "modernvbert", "moondream3", "moss_transcribe_diarize", "muse_glimmer", "muse_glimmer_assistant", "muse_glimmer_text", "muse_glimmer_vision", "openvla",
    "ops_colqwen3", "ovis", "qianfan_ocr", "qwen3_asr", "qwen3_vl_nemotron_embed", "speculators", "step3_text", "step3_vl", "step3p5", "ultravox",
    "unlimited-ocr", "unlimited_ocr",
})


def code_from(config: Any) -> str:
    """The repository whose code a configuration needs (C(<organisation>/<name>--<module>.<class>)); empty when it names none.

    With trust_remote_code transformers looks it up on the Hub, even where it is the model's own repository
    (models/auto/configuration_auto.py, dynamic_module_utils.py of 5.19.0).
    """
    # A repository's file may hold anything, so also a model_type that has no hash.
    classes = config.get("auto_map") if isinstance(config, Mapping) and str(config.get("model_type")) not in _OWN_CONFIGS else None
    named = classes.get("AutoConfig") if isinstance(classes, Mapping) else None
    repo, dashes, _module = named.partition("--") if isinstance(named, str) else ("", "", "")
    return one_line(repo) if dashes else ""


def read_config(config: Any, files: Iterable[tuple[str, int]], defaults: Defaults = MappingProxyType({})) -> tuple[architecture.Architecture, str]:
    """The architecture that a config.json describes, and the reason when there is none, else empty."""
    if not isinstance(config, Mapping):
        return architecture.Architecture(), "its config.json is not a dictionary"
    facts = model_config.facts_of(config, tuple(files), defaults)
    model, errors = architecture.read("", "config.json", facts)
    if errors:
        return architecture.Architecture(), one_line(f"its config.json is invalid: {errors[0].key.partition('.json.')[2]}: {errors[0].why}")
    return model, ""
