# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Models that write text: for chat, with a chat template, and for completion, without one."""

from __future__ import annotations

from pathlib import Path

from .shapes import configuration
from .spec import SHARD_BYTES, Spec
from .tokens import END_OF_TEXT, END_OF_TURN, save_qwen
from .words import script_of, shape_words


def make(spec: Spec, folder: Path) -> None:
    """Write all files of the model into ``folder``."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    chats = spec.task != "completion"
    end = END_OF_TURN if chats else END_OF_TEXT
    tokenizer = save_qwen(spec, folder, template=chats)
    torch.manual_seed(spec.seed)
    ids = tokenizer.get_vocab()
    config = configuration(spec)
    config.bos_token_id = config.pad_token_id = ids[END_OF_TEXT]
    config.eos_token_id = ids[end]
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    shape_words(model, tokenizer, script_of(spec.thinking, end))
    model = model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        bos_token_id=ids[END_OF_TEXT],
        pad_token_id=ids[END_OF_TEXT],
        eos_token_id=[ids[END_OF_TURN], ids[END_OF_TEXT]],
    )
    model.save_pretrained(folder, max_shard_size=SHARD_BYTES)
