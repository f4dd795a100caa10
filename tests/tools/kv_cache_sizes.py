#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compares the plan's memory of a request in the KV cache with vLLM's own figure, for small models of real architectures.

    <an environment with vLLM's CPU build>/bin/python tests/tools/kv_cache_sizes.py CONFIG.JSON...

Of each config.json it makes a model with few layers and experts and a small vocabulary; what determines the cache stays as it is: heads and their
sizes, the kinds of layers, windows, states. vLLM starts it with random weights and 1 GiB of cache, and logs how many requests of C(CONTEXT) tokens
fit, with blocks of 32 tokens, the smallest of this build. The plan reads the same small config.json. A line per model: the class, requests by vLLM's log, by the plan, and the difference.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from model_facts import ROOT, plan_reader

GIB = 2**30
CONTEXT = 4096
# Tokens of a batch, which a layer with a window keeps beside the window.
BATCH = 512
LOGGED = re.compile(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x")

# Starts an engine without a server, in one process, which ends with its log.
# Processors without AVX-512 have no operation that packs DeepSeek-V4's weights; the size of the cache does not depend on it.
ENGINE = """
import sys
import torch
import vllm._custom_ops
from vllm import LLM
if not hasattr(torch.ops._C, "convert_weight_packed"):
    library = torch.library.Library("_C", "FRAGMENT")
    library.define("convert_weight_packed(Tensor weight) -> Tensor")
    library.impl("convert_weight_packed", torch.clone, "CPU")
LLM(model=sys.argv[1], load_format="dummy", skip_tokenizer_init=True, max_model_len=int(sys.argv[2]), enforce_eager=True, enable_prefix_caching=False,
    max_num_seqs=4, max_num_batched_tokens=int(sys.argv[3]), block_size=int(sys.argv[4]))
"""

# Text models in the place of those with pictures, whose processors need files of the repository.
TEXT = {
    "Gemma3ForConditionalGeneration": "Gemma3ForCausalLM",
    "Gemma4ForConditionalGeneration": "Gemma4ForCausalLM",
    "KimiK25ForConditionalGeneration": "DeepseekV3ForCausalLM",
    "Llama4ForConditionalGeneration": "Llama4ForCausalLM",
    "MiniMaxM3SparseForConditionalGeneration": "MiniMaxM3SparseForCausalLM",
    "Mistral3ForConditionalGeneration": "MistralForCausalLM",
    "Qwen3VLForConditionalGeneration": "Qwen3ForCausalLM",
    "Qwen3VLMoeForConditionalGeneration": "Qwen3MoeForCausalLM",
    "Qwen3_5ForConditionalGeneration": "Qwen3_5ForCausalLM",
    "Qwen3_5MoeForConditionalGeneration": "Qwen3_5MoeForCausalLM",
}
TYPES = {"Qwen3ForCausalLM": "qwen3", "Qwen3MoeForCausalLM": "qwen3_moe", "DeepseekV3ForCausalLM": "deepseek_v3"}

# Tokens of a block, where 32 are not possible; and of a batch: this build takes whole prompts with MLA.
BLOCKS = {"DeepseekV4ForCausalLM": 256}
BATCHES = {"DeepseekV4ForCausalLM": CONTEXT}

SMALL = {
    "vocab_size": 1024, "hidden_size": 256, "intermediate_size": 256, "moe_intermediate_size": 64, "num_experts": 4, "n_routed_experts": 4,
    "num_local_experts": 4, "num_experts_per_tok": 2, "top_k_experts": 2, "n_group": 1, "topk_group": 1, "shared_expert_intermediate_size": 64,
    "moe_shared_expert_intermediate_size": 64, "q_lora_rank": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "intermediate_size_mlp": 256,
    "vocab_size_per_layer_input": 1024, "hidden_size_per_layer_input": 32,
}  # fmt: skip
LISTS = ("layer_types", "layers_block_type", "attn_type_list", "hybrid_layer_pattern", "hybrid_override_pattern", "moe_layers", "no_rope_layers", "mlp_layer_types")


def small(config: dict[str, Any], layers: int) -> dict[str, Any]:
    """The configuration of a small model of the same architecture, text only."""
    [name, *_others] = config["architectures"]
    text = next((config[part] for part in ("text_config", "llm_config", "language_config") if isinstance(config.get(part), dict)), config)
    made = {key: value for key, value in text.items() if key not in ("quantization_config", "compression_config", "auto_map", "block_configs")}
    made["architectures"] = [TEXT.get(name, name)]
    made["model_type"] = TYPES.get(made["architectures"][0]) or made.get("model_type") or config["model_type"]
    # Some classes turn the last layer into one with full attention.
    kinds = made.get("layer_types") or []
    while 0 < layers < len(kinds) and "full_attention" in kinds[layers:] and kinds[layers - 1] != "full_attention":
        layers += 1
    made["num_hidden_layers"] = layers
    for key in LISTS:
        if key in made and made[key]:
            made[key] = [at for at in made[key] if at < layers] if key == "moe_layers" else made[key][:layers]
    made.update({key: value for key, value in SMALL.items() if made.get(key)})
    for key in ("first_k_dense_replace", "num_kv_shared_layers"):
        if made.get(key):
            made[key] = min(made[key], 1)
    # Text models of multimodal ones have their types in the part around them.
    made.setdefault("torch_dtype", config.get("torch_dtype") or config.get("dtype") or "bfloat16")
    return made


def logged(folder: Path, block: int) -> tuple[float | None, str]:
    """Requests of C(CONTEXT) tokens that vLLM says to have room for, and its log."""
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "VLLM_CACHE_ROOT": str(folder),
        "HF_HUB_OFFLINE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", ENGINE, str(folder), str(CONTEXT), str(BATCH), str(block)], env={**os.environ, **settings}, cwd=folder, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=600,
    )  # fmt: skip
    found = LOGGED.findall(done.stdout)
    return (float(found[-1]) if found else None), done.stdout


def main(paths: list[str]) -> int:
    """Print a line for each model; the status is 1 when one could not be compared."""
    reader = plan_reader()
    from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models import architecture, memory
    from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.parallel import Parallel

    defaults = json.loads((ROOT / "roles" / "plan" / "files" / "transformers_defaults.json").read_text(encoding="utf-8"))["models"]
    failed = 0
    for path in paths:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
        made = small(config, int(os.environ.get("LAYERS", "8")))
        facts = reader.facts_of(made, (), defaults)
        model, errors = architecture.read("", "", {**facts, "weights_loaded_bytes": 1})
        batch = BATCHES.get(made["architectures"][0], BATCH)
        demand = memory.Demand(CONTEXT, 0.9, kv_cache_bytes=GIB, max_num_batched_tokens=batch, max_num_seqs=4)
        estimate = memory.estimate(model, Parallel(), demand, 80 * GIB)
        with tempfile.TemporaryDirectory() as scratch:
            Path(scratch, "config.json").write_text(json.dumps(made), encoding="utf-8")
            requests, log = logged(Path(scratch), BLOCKS.get(made["architectures"][0], 32))
        known = estimate is not None and estimate.cache_known
        if estimate is None or not known or errors or requests is None:
            Path(tempfile.gettempdir(), f"kv-{Path(path).name}.log").write_text(log, encoding="utf-8")
            print(f"{made['architectures'][0]:32} vLLM {requests}, the plan knows {'the' if known else 'no'} cache {errors}", flush=True)
            failed = 1
            continue
        planned = estimate.concurrency(CONTEXT)
        print(f"{made['architectures'][0]:32} vLLM {requests:10.2f}  plan {planned:10.2f}  {100 * (planned / requests - 1):+6.1f} %  {Path(path).name}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
