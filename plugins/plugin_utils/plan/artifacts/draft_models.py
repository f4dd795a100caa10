# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The draft model of speculative decoding, where it is a separate repository: its share of GPU memory.

vLLM 0.32.0 loads it only on the last pipeline stage (v1/worker/gpu_model_runner.py), with the served model's tensor parallel size: it refuses
another size, or the size does not matter for memory (config/speculative.py, v1/spec_decode/draft_model.py).
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ..inputs import uncatalogued
from ..inputs.catalogue import Catalogue
from ..inputs.settings import Settings
from ..models.memory import Drafter, loaded_bytes
from ..vllm import arguments as args
from .repositories import Extra
from .weights import Weights

_KEYS = ("speculative_config.model", "spec_model")


def method_of(arguments: Mapping[str, Any]) -> str:
    """The method of speculative decoding in the arguments; empty where vLLM detects it."""
    named = (args.member(arguments, "speculative_config", "method"), arguments.get("spec_method"))
    return next((name for name in named if isinstance(name, str)), "")


def drafter_of(
    arguments: Mapping[str, Any], extras: Sequence[Extra], own: Weights | None, settings: Settings, catalogue: Catalogue,
    answers: uncatalogued.Answers, defaults: uncatalogued.Defaults,
) -> Drafter | None:
    """The draft model, from the catalogue or from metadata of endpoints. None without one, or where its size is unknown.

    :param arguments: as the user wrote them
    :param own: the served model's weights: a draft model from the same repository adds nothing here
    """
    extra = next((found for found in extras if found.key in _KEYS and found.weights is not own), None)
    if extra is None or method_of(arguments).endswith("mtp"):
        return None
    entry = catalogue.find(extra.repo)
    if entry is not None and entry.architecture.num_layers:
        model, size = entry.architecture, entry.bytes
    else:
        answer = answers.get(uncatalogued.question_of(extra.repo, extra.weights.revision, settings))
        if answer is None:
            return None
        files = uncatalogued.wanted(answer.files or (), extra.weights.exclude, extra.weights.include)
        model, _problem = uncatalogued.read_config(answer.config, files, defaults)
        size = extra.weights.bytes
    loaded = loaded_bytes(model, size)
    cache_type = args.member(arguments, "speculative_config", "kv_cache_dtype")
    return None if loaded is None else Drafter(extra.repo, model, loaded, cache_type if isinstance(cache_type, str) else "")
