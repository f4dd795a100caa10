# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Arguments of vLLM and environment variables."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils._plan.unknown import Answer
from plan_builders import gpus, service
from remedy_builders import accepting, args, example, one

COMMIT = "e156cb4efae43fbee1a1ab073f946a1377e6b969"
THINKING = "qwen3-235b-a22b"
A100 = {"name": "NVIDIA A100 80GB PCIe", "memory_bytes": 80 * 2**30, "compute_capability": "8.0"}
A6000 = {"name": "NVIDIA RTX A6000", "memory_bytes": 49140 * 2**20, "compute_capability": "8.6"}
H200 = gpus(8, name="NVIDIA H200", memory_bytes=143771 * 2**20)


def coder(tensor: int, version: str, **vllm_args: Any) -> dict[str, Any]:
    """Qwen3-Coder-480B-FP8 on eight GPUs."""
    given = {"tensor_parallel_size": tensor, "max_model_len": 32768, **vllm_args}
    return service(model="qwen3-coder-480b-a35b-instruct-fp8", gpus=..., vllm_version=version, vllm_args=given)


# Certificate and key as certbot lays them down.
TLS = {f"ssl_{key}": f"/etc/letsencrypt/live/llm.example.org/{name}.pem" for key, name in (("certfile", "fullchain"), ("keyfile", "privkey"))}


def encrypted(name: str | None = "llm.example.org", **vllm_args: Any) -> Any:
    """A service with TLS of its own, on a host that the inventory knows by its address."""
    keys = {"tls_server_name": name} if name else {}
    return one(service(vllm_args={**TLS, **vllm_args}, **keys), ansible_host="10.0.0.1")


EXAMPLES = [
    example("tls-name-is-known", encrypted(None), "add the name to the service: tls_server_name: llm.example.org", encrypted()),
    example("tls-name-is-known", one(service(tls_server_name="a.b")), "take it out, or add ssl_certfile", one(service())),
    example("tls-can-start", encrypted(ssl_cert_reqs=2), "take it away, or write 1", encrypted(ssl_cert_reqs=1)),
    example("tls-can-start", encrypted(ssl_certfile=None), "add ssl_certfile", encrypted()),
    example("flags-exist", one(args(max_modle_len=5000)), "did you mean max_model_len?", one(args(max_model_len=5000))),
    example("flags-exist", one(args(no_enable_prefix_caching=True)), "write it as enable_prefix_caching: false", one(args(enable_prefix_caching=False))),
    example("flags-exist", one(service(vllm_args={"max-model-len": 5000})), "write it as max_model_len", one(args(max_model_len=5000))),
    example("flags-exist", one(args(tp=4)), "write it as tensor_parallel_size", one(args(tensor_parallel_size=4))),
    example("flags-exist", one(args(disable_log_requests=True)), "take it out", one(args())),
    example("flags-exist", one(service(vllm_version="0.17.1", vllm_args={"shutdown_timeout": 5})), "take it out", one(service(vllm_version="0.17.1"))),
    example(
        "flags-exist",
        one(service(vllm_version="0.17.1", vllm_args={"shutdown_timeout": 5})),
        "set vllm_version to 0.18.0 or newer",
        one(service(vllm_version="0.32.0", vllm_args={"shutdown_timeout": 5})),
    ),
    example("values-can-be-written", one(args(allowed_media_domains=[])), "null to leave the flag out", one(args(allowed_media_domains=None))),
    example("values-have-the-type", one(args(max_model_len="long")), "a whole number", one(args(max_model_len=4096))),
    example("values-have-the-type", one(args(enforce_eager="true")), "write true or false, without quotes", one(args(enforce_eager=True))),
    example("chat-template-is-one", one(args(chat_template="tool_use")), "take it out", one(args())),
    example("lora-modules-can-be-read", one(args(lora_modules=["a"])), "{name: ..., path: ...}", one(args(lora_modules=[{"name": "a", "path": "/srv/a"}]))),
    example("places-can-be-brought", one(args(tokenizer="gpt2")), "write the absolute path of its folder", one(args(tokenizer="/srv/gpt2"))),
    example(
        "places-can-be-brought",
        one(service(vllm_args={"tokenizer": "gpt2"})),
        "write <organisation>/<name>, which is downloaded",
        one(args(tokenizer="openai-community/gpt2")),
        costs="is not a commit and may change",
    ),
    example(
        "extra-repositories-are-there",
        one(service(vllm_args={"tokenizer": "org/no"}, extra_repositories={"org/no": COMMIT})),
        "write the absolute path of its folder",
        one(args(tokenizer="/srv/no")),
        answers={"org/no": Answer(missing="the Hub has none")},
    ),
    example(
        "extra-repositories-are-named",
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
    example("arguments-go-together", one(args(enable_eplb=True)), "add enable_expert_parallel: true", one(args(enable_eplb=True, enable_expert_parallel=True))),
    example(
        "variables-go-with-arguments",
        one(args(grpc_port=50051)),
        "add VLLM_USE_RUST_FRONTEND: 1 to the service's environment",
        one(service(vllm_args={"grpc_port": 50051}, environment={"VLLM_USE_RUST_FRONTEND": 1})),
    ),
    example("parsers-exist", one(args(tool_call_parser="hermez")), "did you mean hermes", one(args(tool_call_parser="hermes"))),
    example(
        "parsers-exist",
        one(args(tool_call_parser=None)),
        "take it away with enable_auto_tool_choice: null",
        one(args(tool_call_parser=None, enable_auto_tool_choice=None)),
    ),
    example("parsers-fit-the-model", one(args(reasoning_parser="qwen3")), "take it away with reasoning_parser: null", one(args(reasoning_parser=None))),
    example(
        "variables-exist",
        one(service(environment={"VLLM_CACHE_ROTO": "x"})),
        "near to it are VLLM_CACHE_ROOT",
        one(service(environment={"VLLM_CACHE_ROOT": "x"})),
    ),
    example(
        "model-divides",
        one(service(model="qwen3-14b", gpus=[0, 1, 2]), plan_gpus=gpus()),
        "use all 3 GPUs with tensor_parallel_size: 1 and pipeline_parallel_size: 3",
        one(service(model="qwen3-14b", gpus=[0, 1, 2], vllm_args={"tensor_parallel_size": 1, "pipeline_parallel_size": 3}), plan_gpus=gpus()),
    ),
    # Three and six GPUs, from a report: the way out uses all of them.
    example(
        "model-divides",
        one(service(model="llama-3.3-70b-instruct", gpus=..., vllm_args={"max_model_len": 8192}), plan_gpus=gpus(3, **A100)),
        "use all 3 GPUs with tensor_parallel_size: 1 and pipeline_parallel_size: 3",
        one(
            service(model="llama-3.3-70b-instruct", gpus=..., vllm_args={"max_model_len": 8192, "tensor_parallel_size": 1, "pipeline_parallel_size": 3}),
            plan_gpus=gpus(3, **A100),
        ),
    ),
    example(
        "model-divides",
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
        "partition-is-one",
        one(service(model=THINKING, vllm_args={"pipeline_parallel_size": 2}, environment={"VLLM_PP_LAYER_PARTITION": "50,50"})),
        "write 2 numbers that make 94 together",
        one(service(model=THINKING, vllm_args={"pipeline_parallel_size": 2}, environment={"VLLM_PP_LAYER_PARTITION": "50,44"})),
    ),
    example(
        "context-is-within-the-model",
        one(service(model="qwen3-0.6b", gpus=[0], vllm_args={"max_model_len": 50000})),
        "write 40960 or less",
        one(service(model="qwen3-0.6b", gpus=[0], vllm_args={"max_model_len": 40960})),
    ),
]
