#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prints hardware profiles for catalogue entries by the plan's estimate of memory, for a person to choose from.

    python tests/tools/model_profiles.py NAME...

For each kind of GPU it takes the least number that holds the weights 1.2 times (the rule of vLLM's recipes) and a request of 32768 tokens, or the
model's whole context if that is less; more GPUs only up to eight, then two hosts of eight. C(max_model_len) is the model's context where it fits with
90 % of the memory, otherwise the next lower power of two.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Iterator

import yaml

from model_facts import plan_reader

GIB = 2**30

# Names of profiles, names of GPUs, GiB of memory as nvidia-smi shows it, rounded down, and GPUs in one host.
GPUS = (
    ("rtx4090", "RTX 4090 24GB", 23, 8),
    ("rtx5090", "RTX 5090 32GB", 31, 8),
    ("l40s", "L40S 48GB", 44, 8),
    ("a100", "A100 80GB", 80, 8),
    ("h100", "H100 80GB", 79, 8),
    ("h20", "H20 96GB", 95, 8),
    ("rtxpro6000", "RTX PRO 6000 96GB", 95, 8),
    ("gb10", "GB10 128GB", 119, 1),
    ("h200", "H200 141GB", 140, 8),
    ("b200", "B200 180GB", 178, 8),
    ("gb200", "GB200 186GB", 184, 4),
    ("b300", "B300 288GB", 268, 8),
)
# What these GPUs cannot run: 4-bit floating point kernels, or 8-bit blocks.
NO_FP4 = ("rtx4090", "l40s", "a100", "h100", "h20", "h200")
LEAST_CONTEXT = 32768


def cuts(model: Any, ranks: int) -> tuple[bool, bool]:
    """Whether the model can be cut over these tensor parallel ranks, and whether that takes expert parallel."""
    heads, kv_heads = model.num_attention_heads, model.num_kv_heads
    if not heads or heads % ranks or (model.mla is None and kv_heads and kv_heads % ranks and ranks % kv_heads):
        return False, False
    if not model.weight_block_size:
        return True, False
    block = ranks * model.weight_block_size[0]
    dense = not model.is_moe or bool(model.first_k_dense)
    spread = bool(model.is_moe and (model.moe_intermediate_size or 0) % block)
    return not (dense and (model.intermediate_size or 0) % block or model.shared_size % block), spread


def context(model: Any, memory: Any, parallel: Any, gib: int) -> int:
    """Tokens of C(max_model_len) for a GPU of this memory, 0 when the model does not fit."""
    most = model.max_position_embeddings or LEAST_CONTEXT
    found = memory.estimate(model, parallel, memory.Demand(most, 0.9, batches=parallel.pipeline + 1), gib * GIB)
    if found is None:
        return 0
    longest = min(found.longest(), most)
    while longest < most:
        lower = 2 ** (longest.bit_length() - 1) if longest else 0
        # A shorter context reserves less, never more, so what fits here fits.
        return lower if lower >= min(LEAST_CONTEXT, most) else 0
    return most


def profiles(entry: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and contents of each profile, the smallest of each kind of GPU."""
    from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models import memory
    from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.parallel import parallel_of

    model = entry.architecture
    size = entry.bytes or model.weights_loaded_bytes
    for kind, gpu, gib, in_host in GPUS:
        if model.quantization == "nvfp4" and kind in NO_FP4:
            continue
        for nodes, count in ((1, 1), (1, 2), (1, 4), (1, 8), (2, in_host)):
            if count > in_host or size * 1.2 > nodes * count * gib * GIB:
                continue
            fits, spread = cuts(model, count)
            if not fits:
                continue
            arguments: dict[str, Any] = {"enable_expert_parallel": True} if spread or (model.is_moe and count == 8) else {}
            arguments["tensor_parallel_size"] = count
            if nodes > 1:
                arguments["pipeline_parallel_size"] = nodes
            tokens = context(model, memory, parallel_of(arguments), gib)
            if not tokens:
                continue
            if tokens < model.max_position_embeddings:
                arguments["max_model_len"] = tokens
            name = f"{nodes}x{count}x{kind}" if nodes > 1 else f"{count}x{kind}"
            made = {"gpu": gpu, "gpu_memory_gib": gib, "gpus": count, **({"nodes": nodes} if nodes > 1 else {})}
            yield name, {**made, "arguments": dict(sorted(arguments.items()))}
            break


def main(names: list[str]) -> int:
    """Print the profiles of the entries as YAML."""
    plan_reader()
    from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import catalogue

    folder = Path(__file__).resolve().parents[2] / "roles" / "plan" / "files" / "catalogue"
    entries = catalogue.built_in([yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yml"))]).entries
    for name in names:
        print(f"# {name}\n    profiles:")
        for profile, made in profiles(entries[name]):
            arguments = ", ".join(f"{key}: {str(value).lower() if value is True else value}" for key, value in made.pop("arguments").items())
            print(f"      {profile}:")
            print("".join(f"        {key}: {value}\n" for key, value in made.items()) + f"        arguments: {{{arguments}}}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
