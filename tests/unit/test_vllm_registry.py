# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The classes of models of a vLLM, read from its source."""

from __future__ import annotations

import pytest
import vllm_registry

REGISTRY = """
_TEXT_GENERATION_MODELS = {
    "LlamaForCausalLM": ("llama", "LlamaForCausalLM"),
    # A class that was renamed.
    "AquilaModel": ("llama", "LlamaForCausalLM"),
}
_EMBEDDING_MODELS: dict[str, tuple[str, str]] = {
    "BertModel": ("bert", "BertEmbeddingModel"),
    **{k: (mod, arch) for k, (mod, arch) in _TEXT_GENERATION_MODELS.items() if arch == "LlamaForCausalLM"},
}
_TRANSFORMERS_BACKEND_MODELS = {"TransformersForCausalLM": ("transformers", "TransformersForCausalLM")}
_VLLM_MODELS = {**_TEXT_GENERATION_MODELS, **_EMBEDDING_MODELS, **_TRANSFORMERS_BACKEND_MODELS}
_PREVIOUSLY_SUPPORTED_MODELS = {"MotifForCausalLM": "0.10.2"}
"""


def test_classes_of_all_kinds() -> None:
    """Not the one that runs any model of transformers, and not those of former versions."""
    assert vllm_registry.classes(REGISTRY) == ["AquilaModel", "BertModel", "LlamaForCausalLM"]


@pytest.mark.parametrize(
    ("was", "instead"),
    [("_VLLM_MODELS", "_MODELS"), ("**_EMBEDDING_MODELS", "**dict(_EMBEDDING_MODELS)"), ('"BertModel": ', 'BERT: ')],
)
def test_another_form_is_an_error(was: str, instead: str) -> None:
    """And no table with less in it."""
    with pytest.raises(ValueError):
        vllm_registry.classes(REGISTRY.replace(was, instead))
