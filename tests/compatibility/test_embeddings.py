# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""LangChain's standard tests of an embedding model, as they are, against the service's C(/v1/embeddings)."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_openai import OpenAIEmbeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from service import MODEL


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        # The client would send token ids of OpenAI's own tokenizer instead of text, and fetch that tokenizer first.
        return {"model": MODEL, "check_embedding_ctx_length": False}
