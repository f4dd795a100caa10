# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Models that write down what they hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .shapes import HEADS, HIDDEN
from .spec import SHARD_BYTES, Spec
from .tokens import END_OF_TEXT, train, words_of

START = "<|startoftranscript|>"
# Of the sound: bands, and vectors for half a minute.
BANDS = 128
SOURCES = 1500
# Tokens before the transcription (start, language, task, no timestamps), and of it.
PROMPT = 4
LENGTH = 12
# What a token and its place weigh against what is heard; found by looking at what the model writes.
WORD_LENGTH = 1.0
PLACE_LENGTH = 10.0


def make(spec: Spec, folder: Path) -> None:
    """Write all files of the model into ``folder``."""
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    tokenizer = _save_tokenizer(spec, folder)
    WhisperFeatureExtractor(feature_size=BANDS, processor_class="WhisperProcessor").save_pretrained(folder)
    torch.manual_seed(spec.seed)
    end, start = tokenizer.convert_tokens_to_ids([END_OF_TEXT, START])
    special = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=BANDS,
        d_model=HIDDEN,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_source_positions=SOURCES,
        max_target_positions=spec.context,
        init_std=0.1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        **special,
    )
    model = WhisperForConditionalGeneration(config)
    _shape_words(model, tokenizer)
    model = model.to(torch.float16)
    model.generation_config = GenerationConfig(**special)
    model.save_pretrained(folder, max_shard_size=SHARD_BYTES)


def _save_tokenizer(spec: Spec, folder: Path) -> Any:
    """Save a tokenizer with the special tokens of Whisper: languages, tasks, and timestamps in steps of 20 ms; returns it."""
    from tokenizers import AddedToken
    from transformers import WhisperTokenizer
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    trained = train((END_OF_TEXT,))
    languages = [f"<|{code}|>" for code in LANGUAGES]
    tasks = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    trained.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in (START, *languages, *tasks)])
    trained.add_tokens([AddedToken(f"<|{index * 0.02:.2f}|>", special=False, normalized=False) for index in range(SOURCES + 1)])
    tokenizer = WhisperTokenizer(tokenizer_object=trained, model_max_length=spec.context, pad_token=END_OF_TEXT)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _shape_words(model: Any, tokenizer: Any) -> None:
    """Let the model write plain words only, and end after LENGTH of them.

    Its head is its table of tokens, so a token's own direction leads to it. Those of all but words are zero. Places lead to other words than the last
    one, and the place after the last word to the end.
    """
    import torch
    from torch.nn.functional import normalize

    tokens = model.model.decoder.embed_tokens.weight
    places = model.model.decoder.embed_positions.weight
    with torch.no_grad():
        words = words_of(tokenizer)
        directions = normalize(torch.randn(len(words), HIDDEN), dim=1)
        end = normalize(torch.randn(HIDDEN), dim=0)
        tokens.zero_()
        # Without what they have of the end, so that nothing but the place leads there.
        tokens[words] = WORD_LENGTH * normalize(directions - (directions @ end)[:, None] * end, dim=1)
        tokens[tokenizer.convert_tokens_to_ids(END_OF_TEXT)] = WORD_LENGTH * end
        places.copy_(PLACE_LENGTH * normalize(torch.randn(len(places), HIDDEN), dim=1))
        # The token at a place decides the next one.
        places[PROMPT - 1 + LENGTH :] = 1000 * end
