# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of a service, by which it is verified: from the user, the catalogue, the arguments, or the model's files.

Otherwise the task is C(auto), and the health gate detects it from the service's API. vLLM's default for a model is in C(config/model.py) of 0.32.0
(C(_SUFFIX_TO_DEFAULTS), C(_get_default_runner_type)), and the resulting API in C(entrypoints/pooling/factories.py).
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils._task_checks import (
    AUTO,
    CHAT,
    CLASSIFY,
    COMPLETION,
    EMBEDDING,
    POOLING,
    RERANK,
    SCORE,
    TASKS,
    TRANSCRIPTION,
)

from ..errors import InvalidValue, did_you_mean
from ..vllm.engines import TRANSFORMERS

# Tasks of vLLM's pooling models.
POOLERS = (EMBEDDING, SCORE, RERANK, CLASSIFY, POOLING)

# Other names of tasks in vLLM, on the Hub and elsewhere.
_ALIASES = {
    "embed": EMBEDDING, "embeddings": EMBEDDING, "feature-extraction": EMBEDDING, "sentence-similarity": EMBEDDING, "generate": CHAT, "text-generation": CHAT,
    "completions": COMPLETION, "reranker": RERANK, "reranking": RERANK, "text-ranking": RERANK, "cross-encoder": SCORE, "classification": CLASSIFY,
    "text-classification": CLASSIFY, "reward": POOLING, "token_embed": POOLING, "token_classify": POOLING, "encode": POOLING, "pool": POOLING,
    "transcribe": TRANSCRIPTION, "automatic-speech-recognition": TRANSCRIPTION, "asr": TRANSCRIPTION, "speech-to-text": TRANSCRIPTION,
}

# Suffixes of class names, of which the first match is used. Without a match the task is unknown.
_SUFFIXES = (
    ("ForSequenceClassification", SCORE), ("ForTokenClassification", POOLING), ("ForRewardModeling", POOLING), ("RewardModel", POOLING),
    ("ForTextEncoding", EMBEDDING), ("EmbeddingModel", EMBEDDING), ("Model", EMBEDDING),
)
# Classes with the suffix of a text model and another task.
_CLASSES = {"WhisperForConditionalGeneration": TRANSCRIPTION, "LMHeadModel": "", "ChatModel": ""}


def read(value: Any) -> str:
    """The task that a user or the catalogue sets."""
    if value in TASKS:
        return str(value)
    meant = _ALIASES.get(value.lower()) if isinstance(value, str) else None
    raise InvalidValue("there is no such task", f"write {meant}" if meant else did_you_mean(value, TASKS, f"write one of {', '.join(TASKS)}"))


def task_of(named: str, engine: str, given: Mapping[str, Any], known: str, is_known_to_chat: bool) -> str:
    """The task of a service: from the user, from the arguments, or from the catalogue or the model's files; else auto.

    :param named: the task that the user sets
    :param given: vLLM's arguments, the catalogue's overridden by the user's
    :param known: the task of the catalogue entry
    """
    if named:
        return named
    if engine == TRANSFORMERS:
        return CHAT
    found = of_arguments(given)
    if found:
        # A model that scores pairs also ranks, and the entry says which of the two it is for.
        return known if (found, known) == (SCORE, RERANK) else found
    if is_pooler(given):
        return known if known in POOLERS else AUTO
    return known or (CHAT if is_known_to_chat else AUTO)


def of_files(config: Any, files: Iterable[str]) -> str:
    """The task from a repository's files; empty when unknown.

    :param config: its config.json
    :param files: paths of its files
    """
    names = set(files)
    found = _of_classes(config if isinstance(config, Mapping) else {})
    if found in (SCORE, CLASSIFY, POOLING, TRANSCRIPTION):
        return found
    # A file of sentence-transformers, for any class of model.
    if "modules.json" in names:
        return EMBEDDING
    return found or (CHAT if names & {"chat_template.jinja", "chat_template.json"} else "")


def of_arguments(given: Mapping[str, Any]) -> str:
    """The task from vLLM's arguments; empty when they do not determine it."""
    named = given.get("task")
    if named in _ALIASES:
        # An argument of versions before 0.11.
        return SCORE if named == "score" else "" if named == "generate" else _ALIASES[str(named)]
    overrides = given.get("hf_overrides")
    found = _of_classes(overrides) if isinstance(overrides, Mapping) else ""
    if found:
        return found
    convert = given.get("convert")
    if convert in ("embed", "classify"):
        return EMBEDDING if convert == "embed" else CLASSIFY
    return ""


def is_pooler(given: Mapping[str, Any]) -> bool:
    """Whether vLLM's arguments select a pooling model."""
    return given.get("runner") == "pooling" or given.get("convert") in ("embed", "classify")


def class_of(config: Any) -> str:
    """The class that a config.json, or hf_overrides, names for the model; empty without one."""
    classes = config.get("architectures") if isinstance(config, Mapping) else None
    return classes[0] if isinstance(classes, (list, tuple)) and classes and isinstance(classes[0], str) else ""


def converted(name: str) -> list[str]:
    """The classes that generate text of which vLLM makes a class with another head, by its suffix."""
    for ending, _task in _SUFFIXES:
        if name.endswith(ending):
            return [name.removesuffix(ending) + other for other in ("ForCausalLM", "ForConditionalGeneration")]
    return []


def _of_classes(config: Mapping[str, Any]) -> str:
    name = class_of(config)
    for ending, task in (*_CLASSES.items(), *_SUFFIXES):
        if name.endswith(ending):
            return _one_or_many(config) if task == SCORE else task
    return ""


def _one_or_many(config: Mapping[str, Any]) -> str:
    """Whether the model scores pairs or classifies: by transformers' num_labels, else id2label, by default two labels."""
    labels = config.get("num_labels")
    names = config.get("id2label")
    if config.get("is_original_qwen3_reranker") is True or config.get("method") in ("no_post_processing", "from_2_way_softmax"):
        return SCORE
    count = labels if isinstance(labels, int) else len(names) if isinstance(names, Mapping) else 2
    return SCORE if count == 1 else CLASSIFY
