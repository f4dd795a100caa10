# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Models that see pictures and write text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .shapes import HEADS, HIDDEN, dense
from .spec import HERE, SHARD_BYTES, Spec
from .tokens import train
from .words import script_of, shape_words

PICTURE = "<|IMAGE_PLACEHOLDER|>"
SPECIAL_TOKENS = ("<unk>", "<s>", "</s>", "<|begin_of_sentence|>", "<|end_of_sentence|>", PICTURE, "<|IMAGE_START|>", "<|IMAGE_END|>")
PATCH = 14
# Patches of a side that become one token.
MERGED = 2


def make(spec: Spec, folder: Path) -> None:
    """Write all files of a PaddleOCR-VL into ``folder``. vLLM sees its pictures with Pillow alone: torchvision has no CPU build here."""
    import torch
    from transformers import GenerationConfig, PaddleOCRVLConfig, PaddleOCRVLForConditionalGeneration

    tokenizer = _save_tokenizer(spec, folder)
    _save_processor(folder)
    torch.manual_seed(spec.seed)
    ids = tokenizer.get_vocab()
    special = {"bos_token_id": ids["<s>"], "eos_token_id": ids["</s>"], "pad_token_id": ids["<unk>"]}
    config = PaddleOCRVLConfig(
        text_config={**dense(spec), **special, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0, "mrope_section": [4, 6, 6]}},
        vision_config={
            "hidden_size": HIDDEN, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": HEADS, "patch_size": PATCH, "spatial_merge_size": MERGED,
        },
        image_token_id=ids[PICTURE],
        vision_start_token_id=ids["<|IMAGE_START|>"],
        vision_end_token_id=ids["<|IMAGE_END|>"],
        tie_word_embeddings=False,
    )
    model = PaddleOCRVLForConditionalGeneration(config)
    shape_words(model, tokenizer, script_of(spec.thinking, "</s>"))
    model = model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(**special)
    model.save_pretrained(folder, max_shard_size=SHARD_BYTES)


def _save_tokenizer(spec: Spec, folder: Path) -> Any:
    """Save the tokenizer with its chat template; returns it."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=train(SPECIAL_TOKENS),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<unk>",
        extra_special_tokens={"image_token": PICTURE},
        model_max_length=spec.context,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = (HERE / "templates" / "paddleocr_vl.jinja").read_text(encoding="utf-8")
    fast.save_pretrained(folder)
    return fast


def _save_processor(folder: Path) -> None:
    """Save what the picture becomes: written as it is in the real repository, since the class that would write it needs torchvision."""
    side = PATCH * MERGED
    settings = {
        "image_processor_type": "PaddleOCRVLImageProcessor",
        "processor_class": "PaddleOCRVLProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "resample": 3,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "patch_size": PATCH,
        "temporal_patch_size": 1,
        "merge_size": MERGED,
        # At least 16 tokens of a picture and at most 256; the real model has up to 3600.
        "min_pixels": 16 * side**2,
        "max_pixels": 256 * side**2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
