# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Arguments of vLLM and environment variables."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Answer
from example_builders import accepting, args, example, one
from plan_builders import gpus, service

COMMIT = "e156cb4efae43fbee1a1ab073f946a1377e6b969"
THINKING = "qwen3-235b-a22b"
A100 = {"name": "NVIDIA A100 80GB PCIe", "memory_bytes": 80 * 2**30, "compute_capability": "8.0"}
A6000 = {"name": "NVIDIA RTX A6000", "memory_bytes": 49140 * 2**20, "compute_capability": "8.6"}
H200 = gpus(8, name="NVIDIA H200", memory_bytes=143771 * 2**20)


def coder(tensor: int, version: str, **vllm_args: Any) -> dict[str, Any]:
    """Qwen3-Coder-480B-FP8 on eight GPUs."""
    given = {"tensor_parallel_size": tensor, "max_model_len": 32768, **vllm_args}
    return service(model="qwen3-coder-480b-a35b-instruct-fp8", gpus=..., vllm_version=version, vllm_args=given)


# Two builds as their config.json says it: dense in AWQ, with the usual size that no two ranks can share, and experts in INT4.
DENSE_AWQ = {
    "model_type": "qwen2", "hidden_size": 8192, "intermediate_size": 29568, "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
    "vocab_size": 152064, "max_position_embeddings": 32768, "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128},
}
_INT4 = {"type": "int", "num_bits": 4, "strategy": "group", "group_size": 128}
EXPERTS_INT4 = {
    "model_type": "qwen3_moe", "hidden_size": 4096, "intermediate_size": 12288, "moe_intermediate_size": 1536, "num_experts": 128, "num_experts_per_tok": 8,
    "num_hidden_layers": 94, "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 32768,
    "quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": _INT4}}, "ignore": ["lm_head", "re:.*mlp.gate$"]},
}
GROUPED = {
    "org/dense-awq": Answer((("config.json", 1), ("model.safetensors", 41 * 10**9)), DENSE_AWQ),
    "org/experts-int4": Answer((("config.json", 1), ("model.safetensors", 120 * 10**9)), EXPERTS_INT4),
}


def grouped(model: str, **vllm_args: Any) -> Any:
    """One of these on eight GPUs."""
    made = service(model=model, gpus=..., revision=COMMIT, vllm_args={"max_model_len": 8192, "enable_auto_tool_choice": False, **vllm_args})
    return one(made, plan_gpus=H200)


# Certificate and key as certbot lays them down.
TLS = {f"ssl_{key}": f"/etc/letsencrypt/live/llm.example.org/{name}.pem" for key, name in (("certfile", "fullchain"), ("keyfile", "privkey"))}


def encrypted(name: str | None = "llm.example.org", **vllm_args: Any) -> Any:
    """A service with TLS of its own, on a host that the inventory knows by its address."""
    keys = {"tls_server_name": name} if name else {}
    return one(service(vllm_args={**TLS, **vllm_args}, **keys), ansible_host="10.0.0.1")


def drafting(**keys: Any) -> dict[str, Any]:
    """A small model with another that drafts for it."""
    config = {"method": "eagle3", "model": "org/head", "num_speculative_tokens": 3, **keys}
    return service(model="qwen3-8b", vllm_args={"max_model_len": 8192, "speculative_config": config}, extra_repositories={"org/head": COMMIT})


SMALL = {"model": "qwen3-8b", "gpus": [0]}
FLEXKV = {"kv_connector": "FlexKVConnectorV1", "kv_role": "kv_both"}
LMCACHE = {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}
NATIVE = {"kv_connector": "OffloadingConnector", "kv_role": "kv_both"}
ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


# A build of the user, to whose release the plan adds no packages.
WHEEL = f"https://wheels.example/vllm-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl#sha256={'0' * 64}"


def small(version: str = "0.32.0", **vllm_args: Any) -> dict[str, Any]:
    """A service of a small model on one GPU."""
    return service(**SMALL, vllm_version=version, vllm_args={"max_model_len": 8192, **vllm_args})


EXAMPLES = [
    example("tls-server-name-is-known", encrypted(None), "add the name to the service: tls_server_name: llm.example.org", encrypted()),
    example("tls-server-name-is-known", one(service(tls_server_name="a.b")), "remove it, or add ssl_certfile", one(service())),
    example("tls-settings-are-valid", encrypted(ssl_cert_reqs=2), "remove it or write 1", encrypted(ssl_cert_reqs=1)),
    example("tls-settings-are-valid", encrypted(ssl_certfile=None), "add ssl_certfile", encrypted()),
    # The fixes that misled, from reports.
    example(
        "flags-exist",
        one(service(**SMALL, vllm_args={"max_model_len": 131072, "rope_scaling": ROPE})),
        "under hf_overrides as rope_parameters, together with the rope_theta",
        one(service(**SMALL, vllm_args={"max_model_len": 131072, "hf_overrides": {"rope_parameters": {**ROPE, "rope_theta": 1000000}}})),
    ),
    example("flags-exist", one(small(task="transcription")), "remove it for models that generate or transcribe", one(small())),
    example("flags-exist", one(small(task="embed")), "runner: pooling, and for converted generative models convert: embed", one(small(runner="pooling", convert="embed"))),
    # 0.33.0 has the opposite of each switch again, and --no- of the switch itself.
    example(
        "flags-exist", one(small("0.33.0", disable_log_requsts=True)), "did you mean disable_log_requests", one(small("0.33.0", disable_log_requests=True))
    ),
    example("values-match-flag-types", one(small("0.33.0", disable_log_requests=False)), "remove disable_log_requests", one(small("0.33.0"))),
    example(
        "flags-are-set-once",
        one(small(device_memory_utilization=0.8, gpu_memory_utilization=0.9)),
        "keep one of the two: remove gpu_memory_utilization",
        one(small(device_memory_utilization=0.8)),
    ),
    example(
        "unchecked-values",
        one(small("0.31.0"), plan_accept={"open-port": "x"}),
        "(it knows 0.32.0, 0.33.0",
        one(small("0.33.0"), plan_accept={"open-port": "x"}),
    ),
    example("fixed-names-exist", one(small(attention_backend="FLASHATTN")), "did you mean FLASH_ATTN", one(small(attention_backend="FLASH_ATTN"))),
    example("fixed-names-exist", one(small(distributed_executor_backend="mpp")), "did you mean mp?", one(small(distributed_executor_backend="mp"))),
    example("plugin-names", one(small(load_format="safetensor")), "did you mean safetensors?", one(small(load_format="safetensors"))),
    example("plugin-names", one(small("0.33.0", kv_cache_dtype="fp8_e4m4")), "did you mean fp8_e4m3", one(small("0.33.0", kv_cache_dtype="fp8_e4m3"))),
    example(
        "plugin-names",
        one(small(quantization="int4")),
        "accept it as plugin-names in plan_accept, with a reason",
        accepting(one(small(quantization="int4")), plugin_names="ours"),
    ),
    example("plugin-names", one(small(load_format="safe")), "did you mean safetensors?", one(small(load_format="safetensors"))),
    example(
        "plugin-names",
        one({**small(load_format="gguf"), "vllm_source": WHEEL}),
        "add vllm-gguf-plugin==<its version> to vllm_requirements",
        one({**small(load_format="gguf"), "vllm_source": WHEEL}, vllm_requirements=["vllm-gguf-plugin==0.0.5"]),
    ),
    example(
        "plugin-names",
        one(small(kv_transfer_config={"kv_connector": "OffloadConnector", "kv_role": "kv_both"})),
        "did you mean OffloadingConnector",
        one(small(kv_transfer_config=NATIVE)),
    ),
    example(
        "packages",
        one(small(kv_transfer_config=FLEXKV)),
        "add flexkv==<its version> to vllm_requirements",
        one(small(kv_transfer_config=FLEXKV), vllm_requirements=["flexkv==1.2"]),
    ),
    example(
        "packages",
        one(small("0.18.1", kv_transfer_config=LMCACHE)),
        "add lmcache==<its version> to vllm_requirements",
        one(small("0.18.1", kv_transfer_config=LMCACHE), vllm_requirements=["lmcache==0.4.1"]),
    ),
    example(
        "packages",
        one(service(model="whisper-large-v3", gpus=[0], vllm_version="0.18.1")),
        "add soundfile==<its version>, librosa==<its version>",
        one(service(model="whisper-large-v3", gpus=[0], vllm_version="0.18.1", vllm_requirements=["soundfile==0.12.1", "librosa==0.10.2", "scipy==1.15.3"])),
    ),
    example("packages", one(small(kv_transfer_config=FLEXKV)), "or remove kv_transfer_config", one(small(kv_transfer_config=NATIVE))),
    example("packages", one(small(load_format="modelexpress")), "or write auto", one(small(load_format="auto"))),
    example(
        "packages",
        one(small(load_format="runai_streamer")),
        "add runai-model-streamer==<its version>",
        one(small(load_format="runai_streamer"), vllm_requirements=["runai-model-streamer==0.17.0"]),
    ),
    example(
        "paths-are-visible-to-the-unit",
        one(small(chat_template="/home/me/chat.jinja")),
        "move it, for example to /srv or /opt, and set chat_template to the new path",
        one(small(chat_template="/srv/chat.jinja")),
    ),
    example(
        "paths-are-visible-to-the-unit",
        one(small(speculative_config={"method": "eagle3", "model": "/root/draft", "num_speculative_tokens": 3})),
        "move it, for example to /srv or /opt",
        one(small(speculative_config={"method": "eagle3", "model": "/srv/draft", "num_speculative_tokens": 3})),
    ),
    example(
        "paths-are-visible-to-the-unit",
        one(service(**SMALL, environment={"VLLM_LOGGING_CONFIG_PATH": "/tmp/log.json"})),
        "move it, for example to /srv or /opt",
        one(service(**SMALL, environment={"VLLM_LOGGING_CONFIG_PATH": "/srv/log.json"})),
    ),
    example("quantization", one(small(quantization="awq")), "remove quantization", one(small())),
    example(
        "quantization",
        one(service(model="qwen3-8b-fp8", gpus=[0], vllm_args={"quantization": "gptq"})),
        "remove quantization",
        one(service(model="qwen3-8b-fp8", gpus=[0])),
    ),
    example(
        "kv-cache-dtype",
        one(service(model="qwen3-8b-fp8", gpus=[0], vllm_args={"kv_cache_dtype": "fp8_e5m2"})),
        "write fp8",
        one(service(model="qwen3-8b-fp8", gpus=[0], vllm_args={"kv_cache_dtype": "fp8"})),
    ),
    *(
        example("kv-cache-dtype", one(small(kv_cache_dtype=named), plan_gpus=gpus(1, **of)), says, one(small(**then), plan_gpus=gpus(1, **of)))
        for named, of, says, then in (
            ("fp8_inc", {}, "write fp8, or remove it", {"kv_cache_dtype": "fp8"}),
            ("ultraquant_4bit", {}, "write fp8, or remove it", {}),
            ("fp8_ds_mla", {}, "write fp8, or remove it", {"kv_cache_dtype": "fp8"}),
            ("nvfp4_4over6", {}, "write fp8, or remove it", {"kv_cache_dtype": "fp8"}),
            ("fp8_per_token_head", A100, "write fp8, or remove it", {"kv_cache_dtype": "fp8"}),
        )
    ),
    example(
        "template-parser",
        one(service(model="Qwen/Qwen3-4B-Thinking-2507", revision=COMMIT, gpus=[0], vllm_version="0.16.0", vllm_args={"reasoning_parser": "qwen3"})),
        "write deepseek_r1",
        one(service(model="Qwen/Qwen3-4B-Thinking-2507", revision=COMMIT, gpus=[0], vllm_version="0.16.0", vllm_args={"reasoning_parser": "deepseek_r1"})),
    ),
    example("parser", one(small(tool_call_parser="mistral", enable_auto_tool_choice=True)), "leave tool_call_parser out", one(small())),
    example("flags-exist", one(args(max_modle_len=5000)), "did you mean max_model_len?", one(args(max_model_len=5000))),
    example("flags-exist", one(args(no_enable_prefix_caching=True)), "write it as enable_prefix_caching: false", one(args(enable_prefix_caching=False))),
    example("flags-exist", one(service(vllm_args={"max-model-len": 5000})), "write it as max_model_len", one(args(max_model_len=5000))),
    example("flags-exist", one(args(tp=4)), "write it as tensor_parallel_size", one(args(tensor_parallel_size=4))),
    example("flags-exist", one(args(disable_log_requests=True)), "remove it", one(args())),
    example("flags-exist", one(service(vllm_version="0.17.1", vllm_args={"shutdown_timeout": 5})), "remove it", one(service(vllm_version="0.17.1"))),
    example(
        "flags-exist",
        one(service(vllm_version="0.17.1", vllm_args={"shutdown_timeout": 5})),
        "set vllm_version to 0.18.0 or newer",
        one(service(vllm_version="0.32.0", vllm_args={"shutdown_timeout": 5})),
    ),
    example("values-are-serializable", one(args(allowed_media_domains=[])), "null to leave the flag out", one(args(allowed_media_domains=None))),
    example("values-match-flag-types", one(args(max_model_len="long")), "a whole number", one(args(max_model_len=4096))),
    example("values-match-flag-types", one(args(enforce_eager="true")), "write true or false, without quotes", one(args(enforce_eager=True))),
    example("chat-template-is-valid", one(args(chat_template="tool_use")), "remove it", one(args())),
    example("lora-modules-are-valid", one(args(lora_modules=["a"])), "{name: ..., path: ...}", one(args(lora_modules=[{"name": "a", "path": "/srv/a"}]))),
    example("extra-repositories-are-valid", one(args(tokenizer="gpt2")), "write the absolute path of its directory", one(args(tokenizer="/srv/gpt2"))),
    example(
        "extra-repositories-are-valid",
        one(service(vllm_args={"tokenizer": "gpt2"})),
        "write <organisation>/<name> to download it",
        one(args(tokenizer="openai-community/gpt2")),
        costs="is not a commit and may change",
    ),
    example(
        "extra-repositories-exist",
        one(service(vllm_args={"tokenizer": "org/no"}, extra_repositories={"org/no": COMMIT})),
        "write the absolute path of its directory",
        one(args(tokenizer="/srv/no")),
        answers={"org/no": Answer(missing="the Hub has none")},
    ),
    example(
        "extra-repositories-are-used",
        one(service(vllm_args={"tokenizer": "org/tokens"}, extra_repositories={"org/tokns": COMMIT})),
        "did you mean org/tokens",
        one(service(vllm_args={"tokenizer": "org/tokens"}, extra_repositories={"org/tokens": COMMIT})),
    ),
    example(
        "extra-repositories-are-pinned",
        one(args(tokenizer="org/tokens")),
        "pin it with the service's extra_repositories",
        one(service(vllm_args={"tokenizer": "org/tokens"}, extra_repositories={"org/tokens": COMMIT})),
    ),
    example("arguments-do-not-conflict", one(args(enable_eplb=True)), "add enable_expert_parallel: true", one(args(enable_eplb=True, enable_expert_parallel=True))),
    example(
        "required-variables-are-set",
        one(args(grpc_port=50051)),
        "add VLLM_USE_RUST_FRONTEND: 1 to the service's environment",
        one(service(vllm_args={"grpc_port": 50051}, environment={"VLLM_USE_RUST_FRONTEND": 1})),
    ),
    example("parsers-exist", one(args(tool_call_parser="hermez")), "did you mean hermes", one(args(tool_call_parser="hermes"))),
    example(
        "parsers-exist",
        one(args(tool_call_parser=None)),
        "remove it with enable_auto_tool_choice: null",
        one(args(tool_call_parser=None, enable_auto_tool_choice=None)),
    ),
    example("reasoning-parser-fits-the-model", one(args(reasoning_parser="qwen3")), "remove it with reasoning_parser: null", one(args(reasoning_parser=None))),
    example(
        "environment-variables-exist",
        one(service(environment={"VLLM_CACHE_ROTO": "x"})),
        "similar names: VLLM_CACHE_ROOT",
        one(service(environment={"VLLM_CACHE_ROOT": "x"})),
    ),
    example(
        "model-divides-by-parallel-sizes",
        one(service(model="qwen3-14b", gpus=[0, 1, 2]), plan_gpus=gpus()),
        "use all 3 GPUs with tensor_parallel_size: 1 and pipeline_parallel_size: 3",
        one(service(model="qwen3-14b", gpus=[0, 1, 2], vllm_args={"tensor_parallel_size": 1, "pipeline_parallel_size": 3}), plan_gpus=gpus()),
    ),
    # Three and six GPUs, from a report: the fix uses all of them.
    example(
        "model-divides-by-parallel-sizes",
        one(service(model="llama-3.3-70b-instruct", gpus=..., vllm_args={"max_model_len": 8192}), plan_gpus=gpus(3, **A100)),
        "use all 3 GPUs with tensor_parallel_size: 1 and pipeline_parallel_size: 3",
        one(
            service(model="llama-3.3-70b-instruct", gpus=..., vllm_args={"max_model_len": 8192, "tensor_parallel_size": 1, "pipeline_parallel_size": 3}),
            plan_gpus=gpus(3, **A100),
        ),
    ),
    example(
        "model-divides-by-parallel-sizes",
        one(service(model="llama-3.3-70b-instruct", gpus=..., vllm_args={"max_model_len": 8192}), plan_gpus=gpus(6, **A6000)),
        "use all 6 GPUs with tensor_parallel_size: 2 and pipeline_parallel_size: 3",
        one(
            service(model="llama-3.3-70b-instruct", gpus=..., vllm_args={"max_model_len": 8192, "tensor_parallel_size": 2, "pipeline_parallel_size": 3}),
            plan_gpus=gpus(6, **A6000),
        ),
    ),
    example(
        "fp8-blocks", one(coder(8, "0.28.0"), plan_gpus=H200), "tensor_parallel_size: 8", one(coder(8, "0.28.0", enable_expert_parallel=True), plan_gpus=H200)
    ),
    example(
        "fp8-blocks",
        one(coder(8, "0.28.0"), plan_gpus=H200),
        "set tensor_parallel_size to 4",
        one(coder(4, "0.28.0"), plan_gpus=H200),
        costs="uses 4 of its 8 GPUs",
    ),
    example(
        "fp8-blocks",
        one(coder(8, "0.28.0"), plan_gpus=H200),
        "as fp8-blocks in plan_accept",
        accepting(one(coder(8, "0.28.0"), plan_gpus=H200), fp8_blocks="tried"),
    ),
    example(
        "group-size",
        grouped("org/dense-awq"),
        "use all 8 GPUs with tensor_parallel_size: 1 and pipeline_parallel_size: 8",
        grouped("org/dense-awq", tensor_parallel_size=1, pipeline_parallel_size=8),
        answers=GROUPED,
    ),
    example(
        "group-size",
        grouped("org/experts-int4"),
        "enable_expert_parallel: true, tensor_parallel_size: 8",
        grouped("org/experts-int4", tensor_parallel_size=8, enable_expert_parallel=True),
        answers=GROUPED,
    ),
    example(
        "group-size",
        grouped("org/experts-int4"),
        "use all 8 GPUs with tensor_parallel_size: 4 and pipeline_parallel_size: 2",
        grouped("org/experts-int4", tensor_parallel_size=4, pipeline_parallel_size=2),
        answers=GROUPED,
    ),
    example(
        "draft-model-has-the-same-tensor-parallel-size",
        one(drafting(draft_tensor_parallel_size=2)),
        "remove it: the default is the served model's size",
        one(drafting()),
    ),
    # A head for drafting that leaves no room: from the plan's own sum.
    example(
        "memory",
        one({**small(spec_model="org/head", spec_method="eagle3"), "extra_repositories": {"org/head": COMMIT}}, plan_gpus=gpus(1)),
        "remove spec_model, spec_method",
        one(small(), plan_gpus=gpus(1)),
        answers={"org/head": Answer((("model.safetensors", 64 * 2**30), ("config.json", 5)), {})},
    ),
    example(
        "layer-partition-is-valid",
        one(service(model=THINKING, vllm_args={"pipeline_parallel_size": 2}, environment={"VLLM_PP_LAYER_PARTITION": "50,50"})),
        "write 2 numbers with the sum 94",
        one(service(model=THINKING, vllm_args={"pipeline_parallel_size": 2}, environment={"VLLM_PP_LAYER_PARTITION": "50,44"})),
    ),
    example(
        "context-length-fits-the-model",
        one(service(model="qwen3-0.6b", gpus=[0], vllm_args={"max_model_len": 50000})),
        "write 40960 or less",
        one(service(model="qwen3-0.6b", gpus=[0], vllm_args={"max_model_len": 40960})),
    ),
]
