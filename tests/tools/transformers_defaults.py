#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes roles/plan/files/transformers_defaults.json: the defaults of Hugging Face's transformers for keys that a config.json leaves out, by model_type.

Run it with a Python that has the newest transformers (it does not need PyTorch). It prints to standard output. Models without attention layers or
without a vocabulary are left out, and so are models whose configuration class has no usable defaults.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

# Keys of config.json that the plan uses.
KEYS = (
    "head_dim",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "moe_intermediate_size",
    "num_attention_heads",
    "num_experts",
    "num_experts_per_tok",
    "num_hidden_layers",
    "num_key_value_heads",
    "num_local_experts",
    "sliding_window",
    "tie_word_embeddings",
    "vocab_size",
)


def text_part(config: dict[str, Any]) -> dict[str, Any]:
    for key in ("text_config", "llm_config", "language_config"):
        if isinstance(config.get(key), dict):
            return config[key]
    return config


def one_in(kinds: Any) -> int | None:
    """The interval of layers with full attention, if it is the same for all layers; None otherwise."""
    if not isinstance(kinds, list) or "sliding_attention" not in kinds or "full_attention" not in kinds:
        return None
    step = kinds.index("full_attention") + 1
    regular = ["sliding_attention" if (position + 1) % step else "full_attention" for position in range(len(kinds))]
    # In some families the last layer has full attention, independent of the interval.
    return step if kinds[:-1] == regular[:-1] else None


def derived(text: dict[str, Any]) -> set[str]:
    """Keys whose defaults depend on other keys in this model: they change with twice the heads and four times the hidden size."""
    doubled = {key: text[key] * times for key, times in (("num_attention_heads", 2), ("hidden_size", 4)) if isinstance(text.get(key), int)}
    try:
        other = CONFIG_MAPPING[text["model_type"]](**doubled).to_dict()
    except Exception:  # the class refuses these values, or is not registered: then all of these keys may depend on others
        return {"head_dim", "num_key_value_heads", "intermediate_size"}
    return {key for key in KEYS if key not in doubled and other.get(key) != text.get(key)}


def main() -> None:
    models: dict[str, dict[str, Any]] = {}
    for name in sorted(CONFIG_MAPPING.keys()):
        try:
            text = text_part(CONFIG_MAPPING[name]().to_dict())
        except Exception as error:  # each class raises its own exceptions
            print(f"{name}: left out: {str(error).splitlines()[0] if str(error) else type(error).__name__}", file=sys.stderr)
            continue
        follows = derived(text)
        row = {key: text[key] for key in KEYS if isinstance(text.get(key), int) and key not in follows}
        every = one_in(text.get("layer_types"))
        if every is not None:
            row["full_attention_every"] = every
        if {"num_hidden_layers", "num_attention_heads", "vocab_size"} <= row.keys():
            models[name] = row
    lines = ",\n".join(f'  {json.dumps(name)}: {json.dumps(row, sort_keys=True, separators=(",", ":"))}' for name, row in models.items())
    print(f'{{"transformers": {json.dumps(transformers.__version__)}, "models": {{\n{lines}\n}}}}')


if __name__ == "__main__":
    main()
