# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which module makes a model, by its architecture and task."""

from __future__ import annotations

from . import pictures, poolers, speech, text
from .shapes import SHAPES
from .spec import Maker

CHAT = ""

_MAKERS: dict[tuple[str, str], Maker] = {
    ("Qwen3ForCausalLM", "embedding"): poolers.make_embedding,
    ("Qwen3ForCausalLM", "rerank"): poolers.make_reranker,
    ("XLMRobertaForSequenceClassification", "rerank"): poolers.make_cross_encoder,
    ("WhisperForConditionalGeneration", "transcription"): speech.make,
    ("PaddleOCRVLForConditionalGeneration", CHAT): pictures.make,
    **{(architecture, task): text.make for architecture in SHAPES for task in (CHAT, "completion")},
}


def maker_of(architecture: str, task: str) -> Maker | None:
    """What makes a model, none where nothing does."""
    return _MAKERS.get((architecture, task))
