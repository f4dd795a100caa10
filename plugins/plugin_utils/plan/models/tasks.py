# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service is there for: its task, by which it is verified. From the user, the catalogue, the arguments, or the model's own files.

Where none of them tells, the task is C(auto): the health gate finds it by what the service answers. What vLLM makes of a model is in
C(config/model.py) of 0.32.0 (C(_SUFFIX_TO_DEFAULTS), C(_get_default_runner_type)), which API comes of it in C(entrypoints/pooling/factories.py).
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

from ..errors import Bad, did_you_mean
from ..vllm.engines import TRANSFORMERS

# Tasks of what vLLM calls a pooling model.
POOLERS = (EMBEDDING, SCORE, RERANK, CLASSIFY, POOLING)

# Words of vLLM, of the Hub and of people for them.
_OTHER_WORDS = {
    "embed": EMBEDDING, "embeddings": EMBEDDING, "feature-extraction": EMBEDDING, "sentence-similarity": EMBEDDING, "generate": CHAT, "text-generation": CHAT,
    "completions": COMPLETION, "reranker": RERANK, "reranking": RERANK, "text-ranking": RERANK, "cross-encoder": SCORE, "classification": CLASSIFY,
    "text-classification": CLASSIFY, "reward": POOLING, "token_embed": POOLING, "token_classify": POOLING, "encode": POOLING, "pool": POOLING,
    "transcribe": TRANSCRIPTION, "automatic-speech-recognition": TRANSCRIPTION, "asr": TRANSCRIPTION, "speech-to-text": TRANSCRIPTION,
}

# Endings of class names, the first that fits; where one ends in none of them nobody knows.
_SUFFIXES = (
    ("ForSequenceClassification", SCORE), ("ForTokenClassification", POOLING), ("ForRewardModeling", POOLING), ("RewardModel", POOLING),
    ("ForTextEncoding", EMBEDDING), ("EmbeddingModel", EMBEDDING), ("Model", EMBEDDING),
)
# Classes that end like a text model's and do something else alone.
_CLASSES = {"WhisperForConditionalGeneration": TRANSCRIPTION, "LMHeadModel": "", "ChatModel": ""}


def read(value: Any) -> str:
    """The task that a user or the catalogue names."""
    if value in TASKS:
        return str(value)
    meant = _OTHER_WORDS.get(value.lower()) if isinstance(value, str) else None
    raise Bad("there is no such task", f"write {meant}" if meant else did_you_mean(value, TASKS, f"write one of {', '.join(TASKS)}"))


def task_of(named: str, engine: str, given: Mapping[str, Any], known: str, is_known_to_chat: bool) -> str:
    """The task of a service: as the user names it, as the arguments ask for, as the catalogue or the model's files have it; else auto.

    :param named: the task that the user names
    :param given: vLLM's arguments, the user's over the catalogue's
    :param known: the task of the catalogue's entry
    """
    if named:
        return named
    if engine == TRANSFORMERS:
        return CHAT
    found = of_arguments(given)
    if found:
        return found
    if is_pooler(given):
        return known if known in POOLERS else AUTO
    return known or (CHAT if is_known_to_chat else AUTO)


def of_files(config: Any, files: Iterable[str]) -> str:
    """The task that a repository's own files tell of, empty when they do not.

    :param config: its config.json
    :param files: paths of its files
    """
    names = set(files)
    found = _of_classes(config if isinstance(config, Mapping) else {})
    if found in (SCORE, CLASSIFY, POOLING, TRANSCRIPTION):
        return found
    # Of sentence-transformers, whatever the class of the model within.
    if "modules.json" in names:
        return EMBEDDING
    return found or (CHAT if names & {"chat_template.jinja", "chat_template.json"} else "")


def of_arguments(given: Mapping[str, Any]) -> str:
    """The task that vLLM's arguments ask for, empty when they do not."""
    named = given.get("task")
    if named in _OTHER_WORDS:
        # Versions before 0.11 had an argument of that name.
        return SCORE if named == "score" else "" if named == "generate" else _OTHER_WORDS[str(named)]
    overrides = given.get("hf_overrides")
    found = _of_classes(overrides) if isinstance(overrides, Mapping) else ""
    if found:
        return found
    convert = given.get("convert")
    if convert in ("embed", "classify"):
        return EMBEDDING if convert == "embed" else CLASSIFY
    return ""


def is_pooler(given: Mapping[str, Any]) -> bool:
    """Whether vLLM's arguments ask for a model that makes no text."""
    return given.get("runner") == "pooling" or given.get("convert") in ("embed", "classify")


def _of_classes(config: Mapping[str, Any]) -> str:
    classes = config.get("architectures")
    name = classes[0] if isinstance(classes, (list, tuple)) and classes and isinstance(classes[0], str) else ""
    for ending, task in (*_CLASSES.items(), *_SUFFIXES):
        if name.endswith(ending):
            return _one_or_many(config) if task == SCORE else task
    return ""


def _one_or_many(config: Mapping[str, Any]) -> str:
    """A score for a pair, or a class out of several: transformers counts its labels as num_labels, else as id2label, and is at two by default."""
    labels = config.get("num_labels")
    names = config.get("id2label")
    if config.get("is_original_qwen3_reranker") is True or config.get("method") in ("no_post_processing", "from_2_way_softmax"):
        return SCORE
    count = labels if isinstance(labels, int) else len(names) if isinstance(names, Mapping) else 2
    return SCORE if count == 1 else CLASSIFY
