# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Arguments of vLLM and environment variables."""

from __future__ import annotations

from plan_builders import gpus, service
from remedy_builders import args, example, one

THINKING = "qwen3-235b-a22b"

EXAMPLES = [
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
        "set tensor_parallel_size to 2",
        one(service(model="qwen3-14b", gpus=[0, 1, 2], vllm_args={"tensor_parallel_size": 2}), plan_gpus=gpus()),
        costs="uses 2 of its 3 GPUs",
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
