# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tokenizers: trained on the corpus, with the special tokens of the real ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .spec import HERE, Spec

VOCABULARY = 1024
# Qwen's.
END_OF_TEXT = "<|endoftext|>"
END_OF_TURN = "<|im_end|>"
SPECIAL_TOKENS = (
    END_OF_TEXT,
    "<|im_start|>",
    END_OF_TURN,
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Kept in the text when decoding: parsers of tool calls and thoughts look for them there.
ADDED_TOKENS = (
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
# What a model that thinks says first, token by token.
THOUGHT = ("Let", " me", " think", " about", " it", "</think>", "\n\n")


def corpus() -> str:
    """The text that the tokenizers are trained on, and whose words the models say."""
    return (HERE / "corpus.txt").read_text(encoding="utf-8")


def words_of(tokenizer: Any) -> list[int]:
    """The tokens that are a plain word of the corpus with the space before it, without those of the scripted thought."""
    known = set(re.findall(r" [a-z]{3,}\b", corpus().replace("\n", " "))) - set(THOUGHT)
    return [number for number in range(VOCABULARY) if tokenizer.decode([number]) in known]


def train(special: Sequence[str], added: Sequence[str] = (), whole: Sequence[str] = ()) -> Any:
    """A byte-level BPE tokenizer trained on the corpus, with VOCABULARY tokens in all. Each text of ``whole`` becomes one token."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    # Qwen's own split of text into words, and one digit a token.
    split = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(special) - len(added),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=1,
        show_progress=False,
    )
    # The words of the scripted thought must be one token each; repeated, they are merged first.
    repeated = "\n\n".join(["".join(THOUGHT[:5])] * 8)
    tokenizer.train_from_iterator([corpus(), repeated, *("\n\n".join([text] * 8) for text in whole)], trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    return tokenizer


def save_qwen(spec: Spec, folder: Path, template: bool = True, end: bool = False, whole: Sequence[str] = ()) -> Any:
    """Save a tokenizer of Qwen's kind, with the chat template unless told otherwise; returns it.

    With ``end`` every text ends with a token of its own, as those of the embedding models do.
    """
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = train(SPECIAL_TOKENS, ADDED_TOKENS, whole)
    if end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {END_OF_TEXT}", pair=f"$A $B {END_OF_TEXT}", special_tokens=[(END_OF_TEXT, tokenizer.token_to_id(END_OF_TEXT))]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN if template else END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=spec.context,
        clean_up_tokenization_spaces=False,
    )
    if template:
        fast.chat_template = (HERE / "templates" / "qwen3.jinja").read_text(encoding="utf-8").replace("@THINKING@", spec.thinking)
    fast.save_pretrained(folder)
    return fast
