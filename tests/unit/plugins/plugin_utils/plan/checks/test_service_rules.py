# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules, each on both sides of its bound: what passes without an error, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import host_facts, keys_of, service

Plans = Callable[..., Plan]
SECRET = "s3cr3t"
NEEDED = 236_416_915_456
RESERVE = 1_073_741_824
# Any number of GPUs that is a power of 2 will do for it.
BF16 = "qwen3-235b-a22b"


def args(**vllm_args: Any) -> dict[str, Any]:
    """A service with these arguments."""
    return service(vllm_args=vllm_args)


def listening(**keys: Any) -> dict[str, Any]:
    """Facts of a host where something listens."""
    return host_facts(listeners=[{"port": 8001, "address": "0.0.0.0", "pid": 7, "unit": "", **keys}])


def free(count: int, **keys: Any) -> dict[str, Any]:
    """Facts of a host with so many bytes free for weights."""
    return host_facts(
        mounts=[{"mount": "/", "free_bytes": 10**15}, {"mount": "/var/lib", "free_bytes": count}, {"mount": "/var/library", "free_bytes": 0}], **keys
    )


def weights_path(revision: str) -> str:
    """Where the model's weights lie."""
    return f"/var/lib/inferops/models/Qwen--Qwen3-235B-A22B-Instruct-2507-FP8/{revision}"


COMMIT = "e156cb4efae43fbee1a1ab073f946a1377e6b969"

PASSES: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("a service", [service()], {}),
    ("no service", [], {}),
    ("a bare repository", [service(model="someone/model")], {}),
    ("two services apart", [service(gpus=[0, 1]), service(name="b", port=8002, gpus=[2, 3])], {"facts": host_facts()}),
    ("the same name and port on the fix", [service(), {"name": "b", "state": "absent", "port": 8001}], {}),
    ("the least version", [service(vllm_version="0.10.0")], {}),
    ("a flag in its last version", [service(vllm_version="0.16.0", vllm_args={"disable_log_requests": True})], {}),
    ("a flag in its first version", [service(vllm_version="0.18.0", vllm_args={"shutdown_timeout": 5})], {}),
    ("a flag taken away that is gone", [args(disable_log_requests=None)], {}),
    ("a member of a flag", [service(vllm_args={"hf_overrides.rope_scaling": {"factor": 2}})], {}),
    ("a parser of the model's own plugin", [args(tool_call_parser="mine", tool_parser_plugin="/opt/mine.py")], {}),
    ("no tools", [args(tool_call_parser=None, enable_auto_tool_choice=None)], {}),
    ("a reasoning parser on a model that thinks", [service(model="qwen3-235b-a22b-thinking-2507-fp8")], {}),
    ("an unknown version's unknown flag", [service(vllm_version="0.99.0", vllm_args={"brand_new": 1})], {}),
    ("the lowest port", [service(port=1024)], {}),
    ("the highest port", [service(port=65535)], {}),
    ("its own unit listening", [service()], {"facts": listening(unit="vllm-qwen.service")}),
    ("a unit listening that this run removes", [service(), {"name": "old", "state": "absent"}], {"facts": listening(unit="vllm-old.service")}),
    ("another port listening", [service()], {"facts": listening(port=8002)}),
    ("another address listening", [service(host="10.0.0.1")], {"facts": listening(address="10.0.0.2")}),
    ("all the GPUs there are", [service(gpus=[3])], {"facts": host_facts()}),
    ("all GPUs unnamed", [service(gpus=...)], {"facts": host_facts()}),
    ("no GPUs known", [service(gpus=[7])], {}),
    ("stated GPUs", [service(gpus=[7])], {"plan_gpus": 8}),
    ("stated GPUs while the driver is not there", [service()], {"plan_gpus": 4, "facts": host_facts(gpus=[]), "cuda_architectures": ["9.0"]}),
    ("a CPU build without GPUs", [service(gpus=..., vllm_version="0.32.0+cpu")], {"facts": host_facts(gpus=[], gpu_error="no devices")}),
    (
        "two CPU services on one host",
        [service(gpus=..., vllm_version="0.32.0+cpu", name=name, port=port) for name, port in (("a", 1234), ("b", 1235))],
        {"facts": host_facts()},
    ),
    ("parallel sizes that fit", [args(tensor_parallel_size=2, pipeline_parallel_size=2)], {}),
    (
        "data parallel here and elsewhere, where somebody starts the others by hand",
        [service(model=BF16, vllm_args={"tensor_parallel_size": 2, "data_parallel_size": 8, "data_parallel_size_local": 2})],
        {"plan_accept": {"data-parallel-hosts": "the other ranks are started by hand"}},
    ),
    ("fewer ranks than GPUs", [args(tensor_parallel_size=1)], {}),
    ("just enough room", [service()], {"facts": free(NEEDED + RESERVE)}),
    ("weights that are there", [service()], {"facts": free(0, weights=[weights_path(COMMIT)])}),
    ("weights half there", [service()], {"facts": free(NEEDED // 2 + RESERVE, partial_weights={weights_path(COMMIT): NEEDED // 2})}),
    ("one download for two services", [service(gpus=[0]), service(name="b", port=8002, gpus=[1])], {"facts": free(NEEDED + RESERVE)}),
    ("another revision's size", [service(revision="main")], {"facts": free(RESERVE)}),
    ("no disk check", [service()], {"facts": free(0), "plan_check_disk": False}),
    ("times that fit", [service()], {"model_service_stop_timeout": 60, "model_service_shutdown_timeout": 30}),
    ("no restarts, and none needed for the port", [service()], {"model_service_restart": "no", "facts": listening(unit="vllm-qwen.service")}),
    ("no restarts, and nothing runs", [service()], {"model_service_restart": False, "facts": host_facts()}),
    ("no shutdown timeout", [args(shutdown_timeout=None)], {"model_service_stop_timeout": 30}),
]

FAILS: list[tuple[str, list[dict[str, Any]], dict[str, Any], list[tuple[str, str]], str]] = [
    ("one name twice", [service(gpus=[0]), service(port=8002, gpus=[1])], {}, [("qwen", "name")], "2 services"),
    ("one name coming and going", [service(), {"name": "qwen", "state": "absent"}], {}, [("qwen", "name")], "2 services"),
    ("an unknown model", [service(model="qwen3-235b-a22b-instruct-2507-fp9")], {}, [("qwen", "model")], "qwen3-235b-a22b-instruct-2507-fp8"),
    ("a model of no likeness", [service(model="zzz")], {}, [("qwen", "model")], "<organisation>/<name>"),
    ("a model that cannot be served", [service(model="qwen3-235b-a22b-w8a8")], {}, [("qwen", "model")], "Ascend"),
    ("no model", [service(model=...)], {}, [("qwen", "model")], "no model"),
    ("too old a version", [service(vllm_version="0.9.2")], {}, [("qwen", "vllm_version")], "0.10.0"),
    ("too old a version of the host", [service()], {"vllm_version": "0.9.2"}, [("qwen", "vllm_version")], "0.10.0"),
    ("an unknown flag", [args(max_modle_len=5)], {}, [("qwen", "vllm_args.max_modle_len")], "max_model_len"),
    (
        "an unknown flag on a CPU build",
        [service(vllm_version="0.32.0+cpu", vllm_args={"max_modle_len": 5})],
        {},
        [("qwen", "vllm_args.max_modle_len")],
        "max_model_len",
    ),
    ("an unknown flag taken away", [args(max_modle_len=None)], {}, [("qwen", "vllm_args.max_modle_len")], "max_model_len"),
    ("an abbreviated flag", [args(max_model=5)], {}, [("qwen", "vllm_args.max_model")], "max_model_len"),
    ("a flag with dashes", [service(vllm_args={"max-model-len": 5})], {}, [("qwen", "vllm_args.max-model-len")], "max_model_len"),
    ("a secret flag with dashes", [service(vllm_args={"api-key": SECRET})], {}, [("qwen", "vllm_args.api-key")], "api_key"),
    ("a flag with its no", [args(no_enable_prefix_caching=True)], {}, [("qwen", "vllm_args.no_enable_prefix_caching")], "enable_prefix_caching: false"),
    (
        "a flag that is gone",
        [service(vllm_version="0.17.0", vllm_args={"disable_log_requests": True})],
        {},
        [("qwen", "vllm_args.disable_log_requests")],
        "since 0.17.0",
    ),
    ("a flag that is not yet", [service(vllm_version="0.17.1", vllm_args={"shutdown_timeout": 5})], {}, [("qwen", "vllm_args.shutdown_timeout")], "0.18.0"),
    ("a short flag", [args(tp=4)], {}, [("qwen", "vllm_args.tp")], "tensor_parallel_size"),
    *(
        (f"the plan's own flag {key}", [args(**{key: "x"})], {}, [("qwen", f"vllm_args.{key}")], hint)
        for key, hint in (
            ("model", "service's model"),
            ("host", "service's host"),
            ("port", "service's port"),
            ("revision", "service's revision"),
            ("nnodes", "distributed"),
            ("config", "under vllm_args"),
        )
    ),
    ("a secret among the arguments", [args(api_key=SECRET)], {}, [("qwen", "vllm_args.api_key")], "service's api_key"),
    ("a token among the arguments", [args(hf_token=SECRET)], {}, [("qwen", "vllm_args.hf_token")], "weights_token"),
    ("a value of two lines", [args(chat_template="a\nb")], {}, [("qwen", "vllm_args.chat_template")], "one line"),
    ("an unknown tool parser", [args(tool_call_parser="hermez")], {}, [("qwen", "vllm_args.tool_call_parser")], "hermes"),
    (
        "a tool parser of a later version",
        [service(vllm_version="0.13.0", vllm_args={"tool_call_parser": "glm47"})],
        {},
        [("qwen", "vllm_args.tool_call_parser")],
        "0.14.0",
    ),
    ("a tool parser that is gone", [args(tool_call_parser="minimax")], {}, [("qwen", "vllm_args.tool_call_parser")], "since 0.24.0"),
    ("a parser that is no name", [args(tool_call_parser=["hermes"])], {}, [("qwen", "vllm_args.tool_call_parser")], "no parser"),
    ("tools without a parser", [args(tool_call_parser=None)], {}, [("qwen", "vllm_args.enable_auto_tool_choice")], "tool_call_parser"),
    (
        "an unknown reasoning parser",
        [service(model="qwen3-235b-a22b", vllm_args={"reasoning_parser": "qwen4"})],
        {},
        [("qwen", "vllm_args.reasoning_parser")],
        "qwen3",
    ),
    (
        "a reasoning parser on a model that does not think",
        [args(reasoning_parser="qwen3")],
        {},
        [("qwen", "vllm_args.reasoning_parser")],
        "reasoning_parser: null",
    ),
    ("one port twice", [service(gpus=[0]), service(name="b", gpus=[1])], {}, [("b", "port")], "qwen on this host"),
    ("root's port", [service(port=1023)], {}, [("qwen", "port")], "1024"),
    ("a port of another program", [service()], {"facts": listening(unit="nginx.service")}, [("qwen", "port")], "nginx.service"),
    ("a port of a process", [service()], {"facts": listening()}, [("qwen", "port")], "process 7"),
    (
        "a port of a service that stays",
        [service(gpus=[0]), service(name="b", port=8002, gpus=[1])],
        {"facts": listening(port=8002, unit="vllm-qwen.service")},
        [("b", "port")],
        "vllm-qwen",
    ),
    ("the same address listening", [service(host="10.0.0.1")], {"facts": listening(address="10.0.0.1")}, [("qwen", "port")], "process 7"),
    (
        "a broken driver",
        [service()],
        {"facts": host_facts(gpus=[], gpu_error="Driver/library version mismatch")},
        [("", "gpus")],
        "Driver/library version mismatch",
    ),
    ("no GPU at all", [service()], {"facts": host_facts(gpus=[])}, [("qwen", "gpus")], "plan_gpus"),
    ("no GPU at all, unnamed", [service(gpus=...)], {"facts": host_facts(gpus=[])}, [("qwen", "gpus")], "plan_gpus"),
    ("a GPU too many", [service(gpus=[0, 4])], {"facts": host_facts()}, [("qwen", "gpus")], "no GPU 4"),
    ("a GPU too many of those stated", [service(gpus=[8])], {"plan_gpus": 8}, [("qwen", "gpus")], "no GPU 8"),
    ("a GPU twice", [service(gpus=[0, 0])], {}, [("qwen", "gpus")], "more than once"),
    ("a GPU shared", [service(gpus=[0, 1]), service(name="b", port=8002, gpus=[1, 2])], {}, [("b", "gpus")], "GPU 1 as well"),
    (
        "a GPU shared with one that takes all",
        [service(gpus=[0]), service(name="b", port=8002, gpus=...)],
        {"facts": host_facts()},
        [("b", "gpus")],
        "GPU 0 as well",
    ),
    ("two that take all", [service(gpus=...), service(name="b", port=8002, gpus=...)], {}, [("b", "gpus")], "all GPUs as well"),
    ("more ranks than GPUs", [service(model=BF16, vllm_args={"tensor_parallel_size": 8})], {}, [("qwen", "gpus")], "needs 8 GPUs and the service has 4"),
    ("too large a product", [args(tensor_parallel_size=2, pipeline_parallel_size=2, data_parallel_size=2)], {}, [("qwen", "gpus")], "8 GPUs"),
    ("a size that is none", [args(tensor_parallel_size=0)], {}, [("qwen", "vllm_args.tensor_parallel_size")], "positive"),
    (
        "room for the one that is missing",
        [service(gpus=[0]), service(name="b", port=8002, gpus=[1], model="qwen3-235b-a22b-fp8")],
        {"facts": free(NEEDED + RESERVE - 1, weights=[weights_path(COMMIT)])},
        [("b", "weights_dir")],
        "236.4 GB",
    ),
    (
        "more ranks than all GPUs",
        [service(gpus=..., vllm_args={"tensor_parallel_size": 4, "pipeline_parallel_size": 2})],
        {"plan_gpus": 4},
        [("qwen", "gpus")],
        "all",
    ),
    ("no stated GPU and none found", [service(gpus=...)], {"facts": host_facts(gpus=[])}, [("qwen", "gpus")], "all"),
    ("a size in words", [args(pipeline_parallel_size="two")], {}, [("qwen", "vllm_args.pipeline_parallel_size")], "positive"),
    ("a byte too little", [service()], {"facts": free(NEEDED + RESERVE - 1)}, [("qwen", "weights_dir")], "236.4 GB"),
    (
        "half there and a byte too little",
        [service()],
        {"facts": free(NEEDED // 2 + RESERVE - 1, partial_weights={weights_path(COMMIT): NEEDED // 2})},
        [("qwen", "weights_dir")],
        "118.2 GB",
    ),
    (
        "room for one of two",
        [service(gpus=[0]), service(name="b", port=8002, gpus=[1], model="qwen3-235b-a22b-fp8")],
        {"facts": free(2 * NEEDED + RESERVE - 1)},
        [("qwen, b", "weights_dir")],
        "472.8 GB",
    ),
    (
        "a stop that is too short",
        [service()],
        {"model_service_stop_timeout": 59, "model_service_shutdown_timeout": 30},
        [("qwen", "model_service_stop_timeout")],
        "60",
    ),
    (
        "a move without a restart",
        [service(port=8002)],
        {"model_service_restart": False, "facts": listening(unit="vllm-qwen.service")},
        [("qwen", "port")],
        "listens on 8001",
    ),
    ("a stop shorter than a shutdown in words", [args(shutdown_timeout="600")], {}, [("qwen", "model_service_stop_timeout")], "630"),
    ("a stop shorter than a service's own shutdown", [args(shutdown_timeout=600)], {}, [("qwen", "model_service_stop_timeout")], "630"),
]


@pytest.mark.parametrize(("services", "more"), [case[1:] for case in PASSES], ids=[case[0] for case in PASSES])
def test_passes(plan: Plans, services: list[dict[str, Any]], more: dict[str, Any]) -> None:
    """No error, and a document for the host."""
    made = plan(*services, **more)
    assert made.errors == []
    assert list(made.hosts) == ["gpu1"]


@pytest.mark.parametrize(("services", "more", "where", "words"), [case[1:] for case in FAILS], ids=[case[0] for case in FAILS])
def test_fails(plan: Plans, services: list[dict[str, Any]], more: dict[str, Any], where: list[tuple[str, str]], words: str) -> None:
    """Just these errors, with these words, without secrets, and no document."""
    made = plan(*services, **more)
    assert keys_of(made.errors) == where
    assert words in " ".join(f"{error.value} {error.why} {error.fix}" for error in made.errors)
    assert all(error.host == "gpu1" and error.why and error.fix for error in made.errors)
    assert made.hosts == {} and SECRET not in repr(made)


WARNINGS: list[tuple[str, list[dict[str, Any]], dict[str, Any], str]] = [
    ("an unpinned model", [service(model="someone/model")], {}, "'main' of someone/model is not a commit"),
    ("a flag that an unknown version may have", [service(vllm_version="0.99.0", vllm_args={"brand_new": 1})], {}, "according to vLLM 0."),
    (
        "a parser that an unknown version may have",
        [service(vllm_version="0.99.0", vllm_args={"tool_call_parser": "brand_new"})],
        {},
        "(the plan does not know 0.99.0)",
    ),
    ("a retired variable", [service(environment={"VLLM_ATTENTION_BACKEND": "x"})], {}, "removed in 0.15.0"),
    ("a variable spelt wrongly", [service(environment={"VLLM_CACHE_ROTO": "x"})], {}, "VLLM_CACHE_ROOT"),
    ("a loopback service", [service(host="127.0.0.1")], {}, "only its own host"),
    ("idle GPUs", [args(tensor_parallel_size=2)], {}, "uses 2 of its 4 GPUs"),
    ("unknown GPUs", [service(gpus=...)], {}, "plan_gpus"),
]


@pytest.mark.parametrize(("services", "more", "words"), [case[1:] for case in WARNINGS], ids=[case[0] for case in WARNINGS])
def test_warnings(plan: Plans, services: list[dict[str, Any]], more: dict[str, Any], words: str) -> None:
    """One warning that says so, and the plan goes on."""
    made = plan(*services, **more)
    assert made.errors == []
    assert [words in warning for warning in made.warnings] == [True], made.warnings
    assert SECRET not in " ".join(made.warnings)


def test_no_warnings_without_cause(plan: Plans) -> None:
    """A plain service is planned in silence."""
    assert plan(service(), facts=host_facts()).warnings == []


def test_all_errors_at_once(plan: Plans) -> None:
    """Errors of every stage in one go: settings, catalogue, keys, values, arguments, ports, GPUs."""
    made = plan(
        service(model="no-such", prot=1, vllm_args={"nope": 1}),
        service(name="B", gpus=[9]),
        facts=host_facts(),
        host_user="root",
        plan_catalogue=[],
    )
    assert {key for _service, key in keys_of(made.errors)} == {"host_user", "plan_catalogue", "prot", "name", "model", "vllm_args.nope", "port", "gpus"}
