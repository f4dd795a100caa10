#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prints the architecture of a catalogue entry, from a model's config.json: what the plan reads of it, and parameters that are counted.

    <an environment with transformers and torch>/bin/python tests/tools/model_facts.py CONFIG.JSON [HF_QUANT_CONFIG.JSON]

Any build of torch does, since the model is made without memory (device meta). The counts are of the whole model with its vision or audio part, without
the layers for speculative decoding (C(mtp_layers)), which transformers does not make. C(weights_loaded_bytes) follows from which of the modules the
configuration quantises, with one scale for each block, group or row. C(bytes), the download, adds the layers for speculative decoding as an equal
share; it is a little too large where these are smaller. Everything is printed with what it was counted from, for a person to look at.
"""

from __future__ import annotations

import fnmatch
import json
import re
import sys
import types
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# Parts for pictures and sound, which are in 16 bits even where a configuration does not say so.
_NO_TEXT = ("vision", "visual", "audio", "mm_projector", "multi_modal_projector")


def plan_reader() -> Any:
    """The plan's reader of config.json, without an installation of the collection."""
    for name in ("ansible_collections", "ansible_collections.inferops"):
        sys.modules.setdefault(name, types.ModuleType(name)).__path__ = []
    package = types.ModuleType("ansible_collections.inferops.gpu")
    package.__path__ = [str(ROOT)]
    sys.modules.setdefault("ansible_collections.inferops.gpu", package)
    from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models import model_config

    return model_config


def made(config: dict[str, Any]) -> Any:
    """The model of a configuration, as transformers makes it, without memory."""
    import torch
    import transformers

    unquantised = {key: value for key, value in config.items() if key not in ("quantization_config", "compression_config", "auto_map")}
    for part in ("text_config", "llm_config", "language_config"):
        if isinstance(unquantised.get(part), dict):
            unquantised[part] = {key: value for key, value in unquantised[part].items() if key not in ("quantization_config", "auto_map")}
    settings = transformers.models.auto.configuration_auto.CONFIG_MAPPING[config["model_type"]].from_dict(unquantised)
    reasons = []
    # The model with its vision or audio part, where it has one.
    for kind in ("AutoModelForImageTextToText", "AutoModelForCausalLM", "AutoModelForSpeechSeq2Seq", "AutoModelForSequenceClassification", "AutoModel"):
        if not hasattr(transformers, kind):
            continue
        try:
            with torch.device("meta"):
                return getattr(transformers, kind).from_config(settings)
        except ValueError as error:
            reasons.append(f"{kind}: {str(error)[:200]}")
    raise SystemExit("\n".join(reasons))


class Quantisation:
    """Which modules a configuration quantises, and the bytes of an element with its share of a scale."""

    def __init__(self, config: dict[str, Any]) -> None:
        text = next((config[part] for part in ("text_config", "llm_config", "language_config") if isinstance(config.get(part), dict)), {})
        stated = config.get("quantization_config") or text.get("quantization_config") or config.get("compression_config") or {}
        self.method = str(stated.get("quant_method") or "")
        self.stated = stated
        # DeepSeek-V4's experts have another type than the rest.
        self.expert_type = str(config.get("expert_dtype") or "")
        self.left = [str(name) for key in ("modules_to_not_convert", "ignore", "exclude_modules", "ignored_layers") for name in stated.get(key) or []]
        self.exact = {name for name in self.left if not name.startswith("re:") and "*" not in name}
        self.patterns = [re.compile(name[3:]) for name in self.left if name.startswith("re:")]
        self.patterns += [re.compile(fnmatch.translate(name)) for name in self.left if "*" in name and not name.startswith("re:")]

    def element(self, name: str, is_expert: bool) -> float:
        """Bytes of an element of a module's weight, its scale included; 2 where it is not quantised."""
        if not self.method or self.leaves(name) or any(part in name for part in _NO_TEXT):
            return 2.0
        if self.method == "mxfp4":
            return 0.5 + 1 / 32 if is_expert else 2.0
        if self.method == "fp8":
            if is_expert and self.expert_type == "fp4":
                return 0.5 + 1 / 32
            block = self.stated.get("weight_block_size")
            return 1.0 + (4 / (block[0] * block[1]) if block else 0.0)
        if self.method == "modelopt":
            kind = str(self.stated.get("quant_algo") or "").upper()
            if kind == "MIXED_PRECISION":
                # Layer by layer; one that is not named is not quantised. The experts of a layer are one module for transformers.
                named = self.stated.get("quantized_layers") or {}
                kind = next((str(way.get("quant_algo") or "").upper() for each, way in named.items() if f"{each}.".startswith(f"{name}.")), "")
                if not kind:
                    return 2.0
            if kind.endswith("NVFP4"):
                return 0.5 + 1 / 16
            if kind == "FP8":
                return 1.0
        if self.method == "compressed-tensors":
            [scheme] = {json.dumps(group["weights"], sort_keys=True) for group in self.stated["config_groups"].values()}
            weights = json.loads(scheme)
            size = weights.get("group_size")
            return float(weights["num_bits"] / 8 + (2 / size if size else 0.0))
        raise SystemExit(f"quantisation {self.method} {self.stated.get('quant_algo') or ''} is not known here: take the size of the repository's files")

    def leaves(self, name: str) -> bool:
        """Whether the configuration leaves a module as it is. A listed name means all that is below it."""
        # Nemotron's repositories call "backbone" what transformers calls "model".
        return any(self._names(each) for each in (name, re.sub(r"^model\.", "backbone.", name)))

    def _names(self, name: str) -> bool:
        parts = name.split(".")
        if "lm_head" in parts or any(".".join(parts[:end]) in self.exact for end in range(1, len(parts) + 1)):
            return True
        return any(pattern.match(name) for pattern in self.patterns)


def counts(model: Any, quantisation: Quantisation) -> dict[str, Any]:
    """Parameters and bytes of the model, and of its parts by the first words of their names."""
    import torch

    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    parts: dict[str, int] = {}
    total, loaded = 0, 0.0
    for name, parameter in model.named_parameters():
        module, _dot, kind = name.rpartition(".")
        is_expert = "experts" in module.split(".") and parameter.ndim == 3
        quantised = (is_expert and not kind.endswith("bias")) or (module in linear and kind == "weight")
        size = quantisation.element(module, is_expert) if quantised else 2.0
        total += parameter.numel()
        loaded += parameter.numel() * size
        part = f"{'experts' if is_expert else name.split('.')[1] if '.' in name else name} at {size:.4f} bytes"
        parts[part] = parts.get(part, 0) + parameter.numel()
    return {"parameters": total, "weights_loaded_bytes": int(loaded), "parts": parts}


def main(paths: list[str]) -> int:
    """Print the facts as YAML, with what they were counted from as comments."""
    warnings.filterwarnings("ignore")
    config = json.loads(Path(paths[0]).read_text(encoding="utf-8"))
    separate = json.loads(Path(paths[1]).read_text(encoding="utf-8")) if len(paths) > 1 else {}
    defaults = json.loads((ROOT / "roles" / "plan" / "files" / "transformers_defaults.json").read_text(encoding="utf-8"))["models"]
    if separate and not config.get("quantization_config"):
        # NVIDIA's repositories have a file of their own about it.
        config["quantization_config"] = {"quant_method": "modelopt", **separate["quantization"]}
    facts = plan_reader().facts_of(config, (), defaults)
    model = made(config)
    found = counts(model, Quantisation(config))
    facts.pop("weights_loaded_bytes", None)
    print(f"# made as {type(model).__name__}; parameters by part: {found['parts']}")
    layers, extra = facts.get("num_layers") or 1, facts.get("mtp_layers") or 0
    print(f"bytes: {found['weights_loaded_bytes'] * (layers + extra) // layers}")
    print("architecture:")
    for key in ("class", "dtype", "quantization", "modelopt", "weight_block_size", "group_size", "grouped_layers"):
        if key in facts:
            print(f"  {key}: {json.dumps(facts.pop(key)) if not isinstance(facts[key], str) else facts.pop(key)}")
    print(f"  parameters: {found['parameters']}\n  weights_loaded_bytes: {found['weights_loaded_bytes']}")
    for key, value in facts.items():
        if isinstance(value, list):
            print(f"  {key}:")
            for item in value:
                print("    - {" + ", ".join(f"{name}: {number}" for name, number in item.items()) + "}" if isinstance(item, dict) else f"    - {item}")
        else:
            print(f"  {key}: {'{' + ', '.join(f'{name}: {number}' for name, number in value.items()) + '}' if isinstance(value, dict) else json.dumps(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
